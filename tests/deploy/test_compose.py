"""The Compose file starts every process of the stack, with what its settings ask for and no secret."""

import base64
import hashlib
import importlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic_settings import BaseSettings

from laundry.deploy import broker, environment, secret_files, tools
from laundry.paths import PROJECT, StackPaths
from laundry_catalogue import SERVICES, Need, Process, Service, broker_users, database_owners, variable
from laundry_events.broker_settings import NO_BUSY_WAITING
from laundry_reading.signing import PublicKey, SigningKey
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity
from laundry_service import secret_files as secret_files_of_a_service
from laundry_service.http.settings import HttpSettings

TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
# What every image brings: deploy/docker/Dockerfile.
IN_THE_IMAGE = {"LAUNDRY_HOST", "LAUNDRY_PORT", "LAUNDRY_MODEL_DIR", "LAUNDRY_PACKAGE"}
# Their images hold one program and nothing that could ask it.
NOTHING_TO_ASK_WITH = {"collector", "jaeger"}
# Logins and keys that several services hold, each because it needs them.
SHARED = {"s3-access-key", "s3-secret-key", "oidc-client-secret", "model-signing-key"}
SHARED |= {"mqtt-auth-secret", "web-push-private-key"}
ONCE = {"prepare", *(f"migrate-{owner}" for owner in database_owners())}


PROCESSES = [
    pytest.param(service, process, id=process.name) for service in SERVICES for process in service.processes
]


def files_of(container: str) -> dict[str, str]:
    """The secrets of a container: the file of each by the name under which it finds it."""
    given = CONTAINERS[container].get("secrets", [])
    return {each["target"]: each["source"] for each in map(_long, given)}


def _long(secret: str | dict[str, str]) -> dict[str, str]:
    return secret if isinstance(secret, dict) else {"source": secret, "target": secret}


def settings_of(service: Service) -> type[BaseSettings]:
    """The class of a service's settings from which no other of them inherits."""
    module = importlib.import_module(f"{service.package}.settings")
    classes = [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, BaseSettings) and found.__module__ == module.__name__
    ]
    last = [each for each in classes if not any(each in other.__bases__ for other in classes)]
    assert len(last) == 1, f"{service.package}.settings holds {len(last)} settings classes"
    return last[0]


@pytest.mark.parametrize(("service", "process"), PROCESSES)
def test_every_process_of_the_catalogue_has_its_container(service: Service, process: Process) -> None:
    container = CONTAINERS[process.name]
    assert container.get("deploy", {}).get("replicas", 1) == process.replicas
    if process.arguments:
        assert container["command"] == ["python", "-m", service.package, *process.arguments]
    else:
        assert "command" not in container
        assert container["build"]["args"]["PACKAGE"] == service.package


@pytest.mark.parametrize(("service", "process"), PROCESSES)
def test_a_container_gets_what_its_settings_ask_for(service: Service, process: Process) -> None:
    fields = settings_of(service).model_fields
    known = {f"LAUNDRY_{name.upper()}" for name in fields}
    given = {name for name in CONTAINERS[process.name]["environment"] if name.startswith("LAUNDRY_")}
    given |= files_of(process.name).keys()
    assert given <= known, "variables that the service does not read"
    required = {f"LAUNDRY_{name.upper()}" for name, field in fields.items() if field.is_required()}
    assert required <= given | IN_THE_IMAGE


@pytest.mark.parametrize(("service", "process"), PROCESSES)
def test_a_container_has_only_its_own_logins(service: Service, process: Process) -> None:
    given = files_of(process.name)
    for setting, need in {
        "AMQP_URL": Need.BROKER,
        "LETTER_KEY": Need.CONSUMES,
        "DATABASE_URL": Need.DATABASE,
        "SESSION_KEYS": Need.SESSIONS,
        "SIGNING_KEYS": Need.PROVIDER,
    }.items():
        own = f"{service.name}-{setting.lower().replace('_', '-')}"
        assert given.get(f"LAUNDRY_{setting}") == (own if need in service.needs else None)
    shared = {"model-signing-key": Need.SIGNING, "mqtt-auth-secret": Need.MQTT, "s3-secret-key": Need.OBJECTS}
    for name, need in shared.items():
        assert (name in given.values()) == (need in service.needs)
    of_others = {name for name in given.values() if not name.startswith(f"{service.name}-")} - SHARED
    assert not of_others


def test_secrets_are_files_and_stand_in_no_environment() -> None:
    for name, container in CONTAINERS.items():
        told = json.dumps(
            [container.get("environment"), container.get("command"), container.get("entrypoint")]
        )
        asked = set(re.findall(r"\$\{([A-Z0-9_]+)", told))
        assert not asked & set(environment.secret_makers()), name
    assert {*COMPOSE["secrets"]} == {*secret_files.every(), "rabbitmq-definitions", "identity-key"}
    mounted = {file for name in CONTAINERS for file in files_of(name).values()}
    assert mounted == {*COMPOSE["secrets"]}, "a file that nobody reads, or one that nobody writes"


def test_the_files_say_what_the_passwords_are(tmp_path: Path) -> None:
    values = environment.read_env(environment.write(StackPaths(tmp_path)))
    folder = tmp_path / "compose" / "secrets"
    assert {file.name for file in folder.iterdir()} == {*secret_files.every()}
    url = urlsplit((folder / "helper-amqp-url").read_text())
    assert (url.username, url.password, url.hostname) == (
        "helper",
        values["BROKER_PASSWORD_HELPER"],
        "rabbitmq",
    )
    databases = json.loads((folder / "database-passwords").read_text())
    assert databases == {name: values[variable("DATABASE_PASSWORD_{}", name)] for name in database_owners()}
    pair = f"{values['S3_ACCESS_KEY']},{values['S3_SECRET_KEY']}"
    assert (folder / "s3-keys").read_text() == f'"{pair}"'
    # The owner's password is not the service's, and does not come to it.
    owner = (folder / "mlops-database-owner-url").read_text()
    assert values["DATABASE_OWNER_PASSWORD_MLOPS"] in owner
    assert "mlops-database-owner-url" not in files_of("mlops").values()


def test_a_service_reads_a_secret_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files_of_a_service, "FOLDER", tmp_path)
    (tmp_path / "LAUNDRY_DATABASE_URL").write_text("postgresql://from-the-file\n")
    assert secret_files_of_a_service.given("LAUNDRY_DATABASE_URL") == "postgresql://from-the-file"
    monkeypatch.setenv("LAUNDRY_DATABASE_URL", "postgresql://from-the-environment")
    assert secret_files_of_a_service.given("LAUNDRY_DATABASE_URL") == "postgresql://from-the-environment"
    assert secret_files_of_a_service.given("LAUNDRY_DATABASE_OWNER_URL") is None
    # As the settings of every service do, from the folder that is there when they are defined.
    (tmp_path / "LAUNDRY_AMQP_URL").write_text("amqp://from-the-file\n")
    monkeypatch.setitem(HttpSettings.model_config, "secrets_dir", secret_files_of_a_service.folder())

    class Reading(HttpSettings):
        amqp_url: str

    assert Reading(**{}).amqp_url == "amqp://from-the-file"


@pytest.mark.parametrize(
    ("cluster", "host", "members", "formation"),
    [(False, "rabbitmq", 1, broker.ALONE_FILE), (True, "haproxy", 3, broker.CLUSTER_FILE)],
)
def test_services_find_one_broker_or_what_stands_before_three(
    tmp_path: Path, cluster: bool, host: str, members: int, formation: Path
) -> None:
    paths = StackPaths(tmp_path)
    values = environment.read_env(environment.write(paths, cluster=cluster))
    named = COMPOSE["configs"]["rabbitmq-formation"]["file"]
    assert PROJECT / named.replace("${BROKER_FORMATION:-alone}", values["BROKER_FORMATION"]) == formation
    queues = json.loads((tmp_path / "compose" / "definitions.json").read_text())["queues"]
    sizes = {each["arguments"].get("x-quorum-initial-group-size", members) for each in queues}
    assert sizes == {members}, "queues have members on every node"
    assert f"@{host}:5672/" in (tmp_path / "compose" / "secrets" / "ai-consumer-amqp-url").read_text()
    document = json.loads((tmp_path / "compose" / "stack.json").read_text())
    before = "PROXY_" if cluster else ""
    assert document["mqtt_url"].endswith(f":{values[f'{before}MQTT_PORT']}")
    assert document["management_urls"][0].endswith(f":{values[f'{before}MANAGEMENT_PORT']}")
    assert environment.read_env(environment.write(paths)) == values, "it does not stay as it was"
    # Other profiles stay.
    env_file = tmp_path / "compose.env"
    env_file.write_text(env_file.read_text().replace("COMPOSE_PROFILES=", "COMPOSE_PROFILES=observe,"))
    there_and_back = [environment.read_env(environment.write(paths, cluster=each)) for each in (True, False)]
    assert [each["COMPOSE_PROFILES"] for each in there_and_back] == ["observe,cluster", "observe"]


def test_the_profile_cluster_is_the_same_broker_three_times_and_what_stands_before_it() -> None:
    assert {name for name, each in CONTAINERS.items() if each.get("profiles") == ["cluster"]} == {
        *broker.COMPOSE_NODES[1:],
        "haproxy",
    }
    first, *others = (CONTAINERS[name] for name in broker.COMPOSE_NODES)
    assert first["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] == NO_BUSY_WAITING
    own = {"hostname", "networks", "volumes", "ports", "profiles"}
    for other, host_name in zip(others, broker.HOST_NAMES[1:], strict=True):
        assert {key for key in first.keys() | other.keys() if first.get(key) != other.get(key)} <= own
        assert other["hostname"] == host_name
        assert not other["ports"], "two brokers at one port"
    assert first["networks"]["default"]["aliases"] == [broker.HOST_NAMES[0]]
    for name, container in CONTAINERS.items():
        waits_for = container.get("depends_on", {})
        if "rabbitmq" in waits_for and name != "haproxy":
            assert waits_for["haproxy"] == {"condition": "service_healthy", "required": False}, name


def test_a_stack_that_was_not_prepared_says_what_to_do() -> None:
    tool = tools.compose(fetch=False)
    if tool is None:
        pytest.skip("Docker Compose is not installed; `laundry check-deploy --fetch` gets it")
    done = tool.run(["--env-file", os.devnull, "config", "--quiet"], cwd=PROJECT)
    assert done.returncode != 0
    assert "run make compose-env first" in done.stderr


def test_every_database_is_migrated_before_its_service_starts() -> None:
    for owner, package in database_owners().items():
        migration = CONTAINERS[f"migrate-{owner}"]
        assert migration["command"] == ["python", "-m", "laundry_service.migrate", package]
        waits_for = CONTAINERS[owner]["depends_on"][f"migrate-{owner}"]["condition"]
        assert waits_for == "service_completed_successfully"


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_is_bounded_and_watched(name: str) -> None:
    container = CONTAINERS[name]
    assert container["deploy"]["resources"]["limits"]["memory"]
    assert container["restart"] == ("no" if name in ONCE else "unless-stopped")
    if name not in ONCE | NOTHING_TO_ASK_WITH:
        assert container["healthcheck"]["test"]
    if container["image"].startswith("laundry/"):
        assert container["read_only"] is True
        assert container["cap_drop"] == ["ALL"]
    for port in container.get("ports", []):
        assert port.startswith("${BIND:-127.0.0.1}:${"), "published beyond this machine, or on a fixed port"


def test_the_file_holds_no_secret_and_asks_for_what_is_generated(tmp_path: Path) -> None:
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?", TEXT))
    made = {*environment.secret_makers(), "MODEL_PUBLIC_KEYS", "LAUNDRY_VAR_DIR"}
    assert wanted <= made, "Compose asks for variables that nobody makes"
    for name in (made - {"LAUNDRY_VAR_DIR"}) & set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT)):
        assert not re.search(rf"\$\{{{name}:?-", TEXT), f"{name} has a default"
    for line in TEXT.splitlines():
        assert not re.search(r"(PASSWORD|SECRET|ACCESS)_?(KEY|S)?:", line), line
    ports = set(re.findall(r"\$\{(\w+_PORT):-(\d+)\}", TEXT))
    assert ports == {(name, str(number)) for name, number in environment.HOST_PORTS.items()}


def test_passwords_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    env_file = environment.write(paths, ports={"WEB_PORT": 8090})
    first = environment.read_env(env_file)
    assert all(first[name] for name in environment.secret_makers())
    assert len({first[name] for name in environment.secret_makers()}) == len(environment.secret_makers())
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "compose").stat().st_mode) == 0o700
    assert environment.read_env(environment.write(paths)) == first, "a second run changed something"
    assert first["WEB_PORT"] == "8090"


def test_models_are_trusted_by_the_public_half_of_the_key_that_signs_them(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    env_file = environment.write(paths)
    made = environment.read_env(env_file)
    public = SigningKey.parse(made["MODEL_SIGNING_KEY"]).public
    assert PublicKey.parse(made["MODEL_PUBLIC_KEYS"]) == public
    both = f"{public.text},{SigningKey.generate().public.text}"
    env_file.write_text(env_file.read_text().replace(f"KEYS={public.text}", f"KEYS={both}"))
    assert environment.read_env(environment.write(paths))["MODEL_PUBLIC_KEYS"] == both


def test_another_folder_has_other_passwords(tmp_path: Path) -> None:
    one = environment.read_env(environment.write(StackPaths(tmp_path / "one")))
    other = environment.read_env(environment.write(StackPaths(tmp_path / "other")))
    assert not [name for name in environment.secret_makers() if one[name] == other[name]]


def test_a_line_that_is_no_variable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compose.env").write_text("WEB_PORT=1\nwhat is this\n")
    with pytest.raises(LaundryError, match="line 2"):
        environment.write(StackPaths(tmp_path))


def test_the_broker_gets_users_whose_hashes_fit_the_passwords(tmp_path: Path) -> None:
    values = environment.read_env(environment.write(StackPaths(tmp_path)))
    text = (tmp_path / "compose" / "definitions.json").read_text()
    assert not [name for name in environment.secret_makers() if values[name] in text], "a clear password"
    document = json.loads(text)
    users = {user["name"]: user for user in document["users"]}
    passwords = {user: values[variable("BROKER_PASSWORD_{}", user)] for user in broker_users()}
    passwords[environment.BROKER_ADMIN] = values["BROKER_ADMIN_PASSWORD"]
    assert users.keys() == passwords.keys()
    for name, password in passwords.items():
        raw = base64.b64decode(users[name]["password_hash"])
        assert raw[4:] == hashlib.sha256(raw[:4] + password.encode()).digest()
    assert [name for name, user in users.items() if "administrator" in user["tags"]] == [
        environment.BROKER_ADMIN
    ]


def test_the_local_identity_signs_for_containers_too(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    environment.write(paths)
    assert (tmp_path / "compose" / "es256.pem").read_bytes() == LocalIdentity(
        paths.identity
    ).key_file.read_bytes()


def test_clients_find_the_containers_as_they_find_the_stack(tmp_path: Path) -> None:
    environment.write(StackPaths(tmp_path), ports={"HELPER_PORT": 9101})
    document = json.loads((tmp_path / "compose" / "stack.json").read_text())
    assert document["helper_url"] == "http://127.0.0.1:9101"
    assert {service.url_key for service in SERVICES if service.port} <= document.keys()
    assert {"fcm_url", "amqp_urls", "management_urls", "s3", "postgres_urls", "pids"} <= document.keys()
