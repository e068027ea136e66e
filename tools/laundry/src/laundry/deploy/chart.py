"""What the Helm chart says of each service and of the broker, made from the catalogue and the topology."""

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES, Need, Process, Service
from laundry_events.definitions import definitions
from laundry_events.topology import PLAN

CHART = PROJECT / "deploy" / "helm" / "laundry"
DEFINITIONS_FILE = CHART / "files" / "definitions.json"
SERVICES_FILE = CHART / "files" / "services.yaml"
VALUES_FILE = CHART / "values.yaml"
SCHEMA_FILE = CHART / "values.schema.json"
README = CHART / "README.md"
NODES = 3
WIDTH = 120

SECRET_KEYS: dict[Need, tuple[str, ...]] = {
    Need.BROKER: ("amqp-url",),
    Need.CONSUMES: ("letter-key",),
    Need.DATABASE: ("database-url",),
    Need.AUDIT: ("database-owner-url",),
    Need.OBJECTS: ("s3-access-key", "s3-secret-key"),
    Need.SIGNING: ("model-signing-key",),
    Need.MQTT: ("mqtt-auth-secret",),
    Need.PUSH: ("fcm-service-account.json", "web-push-key"),
    Need.SESSIONS: ("oidc-client-secret", "session-keys", "customer-oidc-client-secret"),
    Need.PROVIDER: (
        "oidc-client-secret",
        "secret-keys",
        "signing-keys",
        "first-operator-password",
        "smtp-url",
    ),
}
"""The keys of a service's Secret, by what it needs them for."""


def definitions_text() -> str:
    """Return the plan for a cluster of three as the chart carries it: without users."""
    return json.dumps(definitions(PLAN, nodes=NODES), indent=1) + "\n"


def services_text(services: Iterable[Service] = SERVICES) -> str:
    """Return what the templates ask about each process, as the chart carries it."""
    services = tuple(services)
    lines = ["# Written by `make contracts` from libs/catalogue; the templates read it."]
    for service in services:
        for process in service.processes:
            lines.append(f"{process.name}: {json.dumps(_facts(service, process, services))}")
    return "\n".join(lines) + "\n"


def _facts(service: Service, process: Process, services: tuple[Service, ...]) -> dict[str, Any]:
    first = process.name == service.name
    # Whose every process may call it.
    callers = [each.name for caller in services if service.name in caller.peers for each in caller.processes]
    found: dict[str, Any] = {
        "service": service.name,
        "package": service.package,
        "arguments": list(process.arguments),
        "port": service.port is not None and first,
        "edge": service.edge,
        "migrates": Need.DATABASE in service.needs and first,
        "peers": list(service.peers),
        "callers": callers if first else [],
        "environment": dict(service.environment),
        **{str(need): True for need in Need if need in service.needs},
    }
    # What is not said is false to a template.
    return {name: value for name, value in found.items() if value}


def values_text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return values.yaml with each process's replicas and resources."""
    lines = ["services:"]
    for process in _processes(services):
        own = process.resources
        lines += [
            f"  {process.name}:",
            f"    replicas: {process.cluster_replicas}",
            "    resources:",
            *_comment(own.request_note, indent=6),
            f"      requests: {{cpu: {own.cpu}, memory: {own.memory}}}",
            *_comment(own.limit_note, indent=6),
            f"      limits: {{memory: {own.memory_limit}}}",
        ]
    return replaced(present, "services", "\n".join(lines))


def _comment(text: str, *, indent: int) -> Iterator[str]:
    yield from (f"{' ' * indent}# {line}" for line in textwrap.wrap(text, WIDTH - indent - 2))


def schema_text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return values.schema.json, which knows the processes by name: a misspelt one is refused."""
    schema: dict[str, Any] = json.loads(present)
    names = [process.name for process in _processes(services)]
    schema["properties"]["services"] = {
        "type": "object",
        "properties": {name: {"$ref": "#/definitions/service"} for name in names},
        "additionalProperties": False,
        "required": names,
    }
    return json.dumps(schema, indent=2) + "\n"


def readme_text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return the chart's README with the table of Secrets."""
    lines = ["| Secret | keys |", "| --- | --- |"]
    for service in services:
        keys = [
            f"`{key}`" for need, of_need in SECRET_KEYS.items() if need in service.needs for key in of_need
        ]
        if keys:
            lines.append(f"| `laundry-{service.name}` | {', '.join(keys)} |")
    return replaced(present, "secrets", "\n".join(lines))


def _processes(services: Iterable[Service]) -> Iterator[Process]:
    return (process for service in services for process in service.processes)
