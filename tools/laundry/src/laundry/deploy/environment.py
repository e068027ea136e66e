"""Prepares Compose: passwords and keys, the broker's definitions, the local identity."""

import secrets
from collections.abc import Callable
from pathlib import Path

from laundry.deploy import secret_files
from laundry.deploy.broker import COMPOSE_NODES
from laundry.deploy.mirror import MOUNTED_MODE, mirror_identity, mounted_folder, write_in_place
from laundry.paths import StackPaths
from laundry.push_keys import new_private_key
from laundry.stack.environment import BUCKET
from laundry.stack.state import stack_document
from laundry_catalogue import SERVICES, audited, broker_users, database_owners, letter_signers, variable
from laundry_events.definitions import definitions
from laundry_events.topology import PLAN
from laundry_reading.signing import SigningKey
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json, write_text
from laundry_servers.postgres import owner_of
from laundry_service.auth.rsa_keys import new_key

BROKER_ADMIN = "laundry-admin"
DATABASE_ADMIN = "laundry_admin"
FOLDER_MODE = 0o700
CLUSTER, OBSERVE = "cluster", "observe"
"""The profiles of docker-compose.yml: three brokers; traces, metrics and alerts."""
SPANS_TO, COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"
HOST_PORTS = {service.port_variable: service.port for service in SERVICES if service.port is not None} | {
    "FCM_PORT": 8006,
    "AMQP_PORT": 5672,
    "MANAGEMENT_PORT": 15672,
    "MQTT_PORT": 1883,
    "PROXY_AMQP_PORT": 5673,
    "PROXY_MANAGEMENT_PORT": 15673,
    "PROXY_MQTT_PORT": 1884,
    "DATABASE_PORT": 5432,
    "S3_PORT": 9000,
    "GRAFANA_PORT": 3000,
    "PROMETHEUS_PORT": 9090,
    "ALERTMANAGER_PORT": 9093,
    "JAEGER_PORT": 16686,
}


def secret_makers() -> dict[str, Callable[[], str]]:
    """Return how each secret is made. Values need no quoting in an address, in JSON or in an env file."""

    def password() -> str:
        return secrets.token_urlsafe(32)

    names = ["DATABASE_ADMIN_PASSWORD", "BROKER_ADMIN_PASSWORD", "MQTT_AUTH_SECRET", "ERLANG_COOKIE"]
    names += [variable("BROKER_PASSWORD_{}", user) for user in broker_users()]
    names += [variable("LETTER_KEY_{}", login) for login in letter_signers()]
    names += [variable("DATABASE_PASSWORD_{}", owner) for owner in database_owners()]
    names += [variable("DATABASE_OWNER_PASSWORD_{}", name) for name in audited()]
    return {
        **dict.fromkeys(names, password),
        "S3_ACCESS_KEY": lambda: secrets.token_hex(10).upper(),
        "S3_SECRET_KEY": lambda: secrets.token_hex(20),
        "MODEL_SIGNING_KEY": lambda: SigningKey.generate().text,
        "WEB_PUSH_PRIVATE_KEY": new_private_key,
        "OIDC_CLIENT_SECRET": password,
        "SESSION_KEYS": password,
        "IDENTITY_SECRET_KEYS": password,
        "IDENTITY_SIGNING_KEYS": new_key,
        "FIRST_OPERATOR_PASSWORD": lambda: secrets.token_urlsafe(12),
    }


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of an env file, none if it is missing. Raises LaundryError for a strange line."""
    found: dict[str, str] = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise LaundryError(f"{path}, line {number} is not NAME=value. Correct it, or delete the file.")
        found[name.strip()] = value.strip()
    return found


def write(
    paths: StackPaths,
    *,
    ports: dict[str, int] | None = None,
    cluster: bool | None = None,
    observe: bool | None = None,
) -> Path:
    """Write ``var/compose.env`` and what Compose mounts, keeping every value that is there already.

    Args:
        ports: host ports in place of the kept or usual ones, by variable.
        cluster: with the profile cluster, or without it; None keeps what ``COMPOSE_PROFILES`` says.
        observe: the same of the profile observe, whose collector then gets the spans.

    Returns:
        The env file.
    """
    env_file, folder = paths.var / "compose.env", paths.var / "compose"
    kept = read_env(env_file)
    values = {name: str(port) for name, port in HOST_PORTS.items()}
    values |= {"BIND": "127.0.0.1"} | kept | {name: str(port) for name, port in (ports or {}).items()}
    for name, make in secret_makers().items():
        values[name] = kept.get(name) or make()
    # Kept as it is, so that a person can name a second key while one is replaced by another.
    values["MODEL_PUBLIC_KEYS"] = (
        kept.get("MODEL_PUBLIC_KEYS") or SigningKey.parse(values["MODEL_SIGNING_KEY"]).public.text
    )
    values["LAUNDRY_VAR_DIR"] = str(paths.var)
    values["COMPOSE_PROFILES"] = _profiles(kept, {CLUSTER: cluster, OBSERVE: observe})
    values |= _broker(values["COMPOSE_PROFILES"])
    values |= _spans(values, observe)
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    mounted_folder(paths.telemetry)
    _write_env(env_file, values)
    passwords = {user: values[variable("BROKER_PASSWORD_{}", user)] for user in broker_users()}
    administrator = (BROKER_ADMIN, values["BROKER_ADMIN_PASSWORD"])
    nodes = len(COMPOSE_NODES) if values["BROKER_FORMATION"] == CLUSTER else 1
    document = definitions(PLAN, passwords, nodes=nodes, administrator=administrator)
    write_json(folder / "definitions.json", document, mode=MOUNTED_MODE)
    for file in secret_files.every().values():
        write_in_place(folder / "secrets" / file.name, file.text(values))
    mirror_identity(paths)
    write_json(folder / "stack.json", _stack(values))
    return env_file


def _profiles(kept: dict[str, str], wanted: dict[str, bool | None]) -> str:
    """Return the profiles that are kept, with and without those that somebody asks for."""
    named = [each for each in kept.get("COMPOSE_PROFILES", "").split(",") if each]
    for profile, on in wanted.items():
        if on is not None:
            named = [each for each in named if each != profile] + [profile] * on
    return ",".join(named)


def _broker(profiles: str) -> dict[str, str]:
    """Return where services find the broker, and whether its nodes look for others."""
    host, formation = ("haproxy", CLUSTER) if CLUSTER in profiles.split(",") else (COMPOSE_NODES[0], "alone")
    return {"BROKER_HOST": host, "BROKER_FORMATION": formation}


def _spans(values: dict[str, str], observe: bool | None) -> dict[str, str]:
    """Return where spans go: a collector of one's own stays."""
    given = values.get(SPANS_TO, "")
    if observe is None or given not in ("", COLLECTOR):
        return {}
    return {SPANS_TO: COLLECTOR if observe else ""}


def _write_env(path: Path, values: dict[str, str]) -> None:
    lines = ["# Made by `laundry compose-env`, which keeps what is here. Ports may be changed."]
    lines += [f"{name}={value}" for name, value in values.items()]
    # In one step: what is lost here, passwords that data was made with, cannot be made again.
    write_text(path, "\n".join([*lines, ""]))


def _stack(values: dict[str, str]) -> dict[str, object]:
    """Return the same document as a stack without containers writes, for the same clients."""
    host = values["BIND"] if values["BIND"] not in ("", "0.0.0.0") else "127.0.0.1"  # noqa: S104

    def address(port: str) -> str:
        return f"http://{host}:{values[port]}"

    before = "" if values["BROKER_HOST"] == COMPOSE_NODES[0] else "PROXY_"
    login = f"{BROKER_ADMIN}:{values['BROKER_ADMIN_PASSWORD']}"
    amqp = f"amqp://{login}@{host}:{values[f'{before}AMQP_PORT']}/%2F"
    broker = BrokerAddress(
        amqp_url=amqp,
        amqp_urls=[amqp],
        management_urls=[address(f"{before}MANAGEMENT_PORT")],
        mqtt_url=f"mqtt://{host}:{values[f'{before}MQTT_PORT']}",
        username=BROKER_ADMIN,
        password=values["BROKER_ADMIN_PASSWORD"],
    )
    urls = {each.url_key: address(each.port_variable) for each in SERVICES if each.port is not None}
    databases = {
        owner: f"postgresql://{owner}:{values[variable('DATABASE_PASSWORD_{}', owner)]}"
        f"@{host}:{values['DATABASE_PORT']}/{owner}"
        for owner in database_owners()
    }
    owners = {
        name: f"postgresql://{owner_of(name)}:{values[variable('DATABASE_OWNER_PASSWORD_{}', name)]}"
        f"@{host}:{values['DATABASE_PORT']}/{name}"
        for name in audited()
    }
    document = stack_document(
        urls={**urls, "fcm_url": address("FCM_PORT")},
        broker=broker,
        objects=ObjectStoreAddress(address("S3_PORT"), values["S3_ACCESS_KEY"], values["S3_SECRET_KEY"]),
        database_urls=databases,
        owner_urls=owners,
        pids={},
        # Read inside the containers' network only.
        metrics_urls={},
    )
    assert document["s3"]["bucket"] == BUCKET
    return document
