"""What an operator writes before an installation: the README's Secrets, and values for one small node."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from laundry.deploy.chart import CHART
from laundry_catalogue import SERVICES
from laundry_cluster import servers
from laundry_cluster.images import REGISTRY
from laundry_reading.signing import SigningKey
from laundry_servers.certificates import private_pem
from laundry_servers.fcm import PROJECT_ID
from laundry_servers.files import write_json
from laundry_servers.identity import AUDIENCE, ISSUER

SECRETS = "laundry"
ADMINISTRATOR, PASSWORDS, BACKUP = "broker-administrator", "laundry-broker-passwords", "laundry-backup"
PHONES = ("notification", "notification-faults")
PUBLIC, SIGN_IN = "laundry.example", "https://sign-in.laundry.example"
# Of Kubernetes 1.20, which is older than the chart takes: the copy is for this cluster only.
OLDER = {
    'kubeVersion: ">=1.25.0-0"': 'kubeVersion: ">=1.20.0-0"',
    "apiVersion: policy/v1\n": "apiVersion: policy/v1beta1\n",
    "apiVersion: autoscaling/v2\n": "apiVersion: autoscaling/v2beta2\n",
    'lookup "autoscaling/v2"': 'lookup "autoscaling/v2beta2"',
    "apiVersion: batch/v1\nkind: CronJob\n": "apiVersion: batch/v1beta1\nkind: CronJob\n",
}


def address_of(facts: Mapping[str, Any], port: int) -> str:
    """Return where a server answers by HTTP."""
    return f"http://{facts['address']}:{port}"


def secrets_of(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return every Secret by its name: passwords of the servers, and keys."""
    broker, database, sign_in = facts["broker"], facts["database"], facts["sign_in"]
    at, administrator = facts["address"], facts["administrator"]
    objects = {"s3-access-key": facts["s3_access_key"], "s3-secret-key": facts["s3_secret_key"]}
    own: dict[str, dict[str, str]] = {
        "helper": objects,
        "ai-consumer": objects,
        "mlops": {**objects, "model-signing-key": facts["model_signing_key"]},
        "monitoring": {"mqtt-auth-secret": secrets.token_hex(16)},
        "notification": {
            "fcm-service-account.json": json.dumps(_firebase_account(facts)),
            "web-push-key": facts["web_push_key"],
        },
        "identity": {
            "oidc-client-secret": sign_in["client_secret"],
            "secret-keys": sign_in["cookie_key"],
            "signing-keys": sign_in["signing_key"],
            "first-operator-password": sign_in["first_operator_password"],
        },
        "web": {
            "oidc-client-secret": sign_in["client_secret"],
            "session-keys": sign_in["session_key"],
        },
    }
    found: dict[str, dict[str, str]] = {}
    for service in SERVICES:
        keys = dict(own.get(service.name, {}))
        if service.name in broker and not service.edge:
            login = f"{service.name}:{broker[service.name]}"
            keys["amqp-url"] = f"amqp://{login}@{at}:{servers.AMQP}/laundry"
            keys["letter-key"] = facts["letters"][service.name]
        if service.name in database and service.name != "ai-consumer" and not service.edge:
            login = f"{service.name}:{database[service.name]}"
            keys["database-url"] = f"postgresql://{login}@{at}:{servers.DATABASE}/{service.name}"
        found[f"{SECRETS}-{service.name}"] = keys
    found[PASSWORDS] = {"passwords.json": json.dumps(broker)}
    found[ADMINISTRATOR] = dict(administrator)
    login = f"{administrator['username']}:{administrator['password']}@{at}"
    found[BACKUP] = {
        "amqp-url": f"amqp://{login}:{servers.AMQP}/laundry",
        "management-url": f"http://{login}:{servers.MANAGEMENT}",
        "backup-access-key": facts["s3_access_key"],
        "backup-secret-key": facts["s3_secret_key"],
        "backup-endpoint-url": address_of(facts, servers.OBJECTS),
        **objects,
    }
    return found


def manifest(named: Mapping[str, Mapping[str, str]]) -> str:
    """Return Secrets as kubectl takes them."""
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(data)}
        for name, data in named.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values; pushes go to the local stand-in for Firebase."""
    local = [{"name": "LAUNDRY_FCM_URL", "value": address_of(facts, servers.PHONES)}]
    common = _values(facts)
    services = {
        name: {**own, "extraEnv": local} if name in PHONES else own
        for name, own in common["services"].items()
    }
    return {**common, "services": services}


def values_before(facts: Mapping[str, Any], tag: str) -> dict[str, Any]:
    """Return the values of the release before: it has other images, and takes no variables of ours."""
    common = _values(facts)
    return {**common, "image": {**common["image"], "tag": tag}}


def backup(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value that turns backups on."""
    return {"enabled": True, "at": f"s3://{servers.BACKUPS}/laundry", "secret": BACKUP, "objects": True}


def _values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """One replica of each process, since the defaults ask for more than two processors."""
    processes = [process.name for service in SERVICES for process in service.processes]
    local = {
        "issuer": ISSUER,
        "jwksUrl": f"{address_of(facts, servers.PHONES)}/.well-known/jwks.json",
        "audience": AUDIENCE,
        "subjectPrefix": "",
    }
    ports = {
        "broker": servers.AMQP,
        "database": servers.DATABASE,
        "objectStore": servers.OBJECTS,
        "identity": servers.PHONES,
        "push": servers.PHONES,
    }
    return {
        "image": {"registry": REGISTRY, "pullPolicy": "Never"},
        "identity": {
            "publicUrl": SIGN_IN,
            "firstOperator": "operator@laundry.example",
            "trustedIssuers": [local],
        },
        "objectStore": {"endpointUrl": address_of(facts, servers.OBJECTS), "bucket": servers.BUCKET},
        "models": {"publicKeys": [SigningKey.parse(facts["model_signing_key"]).public.text]},
        "topology": {"managementHost": facts["address"], "adminSecret": ADMINISTRATOR},
        "ingress": {"host": PUBLIC},
        "networkPolicy": {"egress": {name: {"ports": [port], "to": []} for name, port in ports.items()}},
        "services": {name: {"replicas": 1} for name in processes},
    }


def copy_chart(to: Path, source: Path = CHART) -> None:
    """Write a chart as a cluster of Kubernetes 1.20 takes it."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copied = to / file.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        for new, old in OLDER.items():
            content = content.replace(new.encode(), old.encode())
        copied.write_bytes(content)


def write_secrets(to: Path, named: Mapping[str, Mapping[str, str]]) -> Path:
    """Write Secrets for kubectl, readable by their owner only."""
    write_json(to, json.loads(manifest(named)))
    return to


def _firebase_account(facts: Mapping[str, Any]) -> dict[str, str]:
    """A service account as Firebase gives one out, for the local stand-in of it."""
    key = private_pem(rsa.generate_private_key(65537, 2048))
    return {
        "type": "service_account",
        "project_id": PROJECT_ID,
        "private_key_id": "local",
        "private_key": key.decode(),
        "client_email": f"local@{PROJECT_ID}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{address_of(facts, servers.PHONES)}/token",
    }
