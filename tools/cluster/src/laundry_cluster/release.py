"""What an operator writes before an installation: the README's Secrets, and values for one small node."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from laundry.deploy.chart import CHART
from laundry_catalogue import SERVICES
from laundry_cluster import servers
from laundry_cluster.images import REGISTRY
from laundry_cluster.places import NODE_ADDRESS
from laundry_reading.signing import SigningKey
from laundry_servers.fcm import PROJECT_ID
from laundry_servers.files import write_json
from laundry_servers.identity import AUDIENCE, ISSUER

SECRETS = "laundry"
ADMINISTRATOR, PASSWORDS = "broker-administrator", "laundry-broker-passwords"
PUBLIC, SIGN_IN = "laundry.example", "https://sign-in.laundry.example"
# Of Kubernetes 1.20, which is older than the chart takes: the copy is for this cluster only.
OLDER = {
    'kubeVersion: ">=1.25.0-0"': 'kubeVersion: ">=1.20.0-0"',
    "apiVersion: policy/v1\n": "apiVersion: policy/v1beta1\n",
}


def address_of(port: int) -> str:
    """Return where a server answers by HTTP."""
    return f"http://{NODE_ADDRESS}:{port}"


def secrets_of(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return every Secret by its name: passwords of the servers, and keys."""
    broker, database, sign_in = facts["broker"], facts["database"], facts["sign_in"]
    objects = {"s3-access-key": facts["s3_access_key"], "s3-secret-key": facts["s3_secret_key"]}
    own: dict[str, dict[str, str]] = {
        "helper": objects,
        "ai-consumer": objects,
        "mlops": {**objects, "model-signing-key": facts["model_signing_key"]},
        "monitoring": {"mqtt-auth-secret": secrets.token_hex(16)},
        "notification": {
            "fcm-service-account.json": json.dumps(_firebase_account()),
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
            keys["amqp-url"] = f"amqp://{login}@{NODE_ADDRESS}:{servers.AMQP}/laundry"
            keys["letter-key"] = facts["letters"][service.name]
        if service.name in database and service.name != "ai-consumer" and not service.edge:
            login = f"{service.name}:{database[service.name]}"
            keys["database-url"] = f"postgresql://{login}@{NODE_ADDRESS}:{servers.DATABASE}/{service.name}"
        found[f"{SECRETS}-{service.name}"] = keys
    found[PASSWORDS] = {"passwords.json": json.dumps(broker)}
    found[ADMINISTRATOR] = dict(facts["administrator"])
    return found


def manifest(named: Mapping[str, Mapping[str, str]]) -> str:
    """Return Secrets as kubectl takes them."""
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(data)}
        for name, data in named.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values: one replica of each process, since the defaults ask for more than two processors."""
    processes = [process.name for service in SERVICES for process in service.processes]
    local = {
        "issuer": ISSUER,
        "jwksUrl": f"{address_of(servers.PHONES)}/.well-known/jwks.json",
        "audience": AUDIENCE,
        "subjectPrefix": "",
    }
    return {
        "image": {"registry": REGISTRY, "pullPolicy": "Never"},
        "identity": {
            "publicUrl": SIGN_IN,
            "firstOperator": "operator@laundry.example",
            "trustedIssuers": [local],
        },
        "objectStore": {"endpointUrl": address_of(servers.OBJECTS), "bucket": servers.BUCKET},
        "models": {"publicKeys": [SigningKey.parse(facts["model_signing_key"]).public.text]},
        "topology": {"managementHost": NODE_ADDRESS, "adminSecret": ADMINISTRATOR},
        "ingress": {"host": PUBLIC},
        "services": {name: {"replicas": 1} for name in processes},
    }


def copy_chart(to: Path) -> None:
    """Write the chart as a cluster of Kubernetes 1.20 takes it."""
    for file in sorted(path for path in CHART.rglob("*") if path.is_file()):
        copied = to / file.relative_to(CHART)
        copied.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        for new, old in OLDER.items():
            content = content.replace(new.encode(), old.encode())
        copied.write_bytes(content)


def write_values(to: Path, facts: Mapping[str, Any], **changes: Any) -> Path:
    """Write the values with some changed."""
    to.write_text(yaml.safe_dump({**values(facts), **changes}))
    return to


def write_secrets(to: Path, facts: Mapping[str, Any]) -> Path:
    """Write the Secrets for kubectl, readable by their owner only."""
    write_json(to, json.loads(manifest(secrets_of(facts))))
    return to


def _firebase_account() -> dict[str, str]:
    """A service account as Firebase gives one out, for the local stand-in of it."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": PROJECT_ID,
        "private_key_id": "local",
        "private_key": key.decode(),
        "client_email": f"local@{PROJECT_ID}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{address_of(servers.PHONES)}/token",
    }
