"""What the Helm chart says of each service and of the broker, made from the catalogue and the topology."""

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from laundry.deploy import values
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
    Need.MQTT: ("mqtt-auth-secret", "mqtt-auth-secret-before"),
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


BY_VALUE_KEYS: dict[Need, tuple[str, ...]] = {
    Need.BROKER: ("amqp-password",),
    Need.DATABASE: ("database-password",),
    Need.AUDIT: ("database-owner-password",),
}
"""Those that are there instead of addresses, where values name the servers."""


OTHER_IMAGES = ("backup", "mlops-training", "toolbox")
"""Those that are not a service's own."""


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
        "queues": _queues(service),
        "environment": dict(service.environment),
        **{str(need): True for need in Need if need in service.needs},
    }
    # What is not said is false to a template.
    return {name: value for name, value in found.items() if value}


def _queues(service: Service) -> list[str]:
    """Return the queues that a replica more would help with; which process reads which is its package's."""
    if len(service.processes) > 1:
        return []
    return [queue.name for queue in PLAN.consumed_by(service.name) if queue.kind == "quorum"]


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


def schema_text(present: str, values_yaml: str, services: Iterable[Service] = SERVICES) -> str:
    """Return values.schema.json, which knows processes and keys of Secrets: a misspelt one is refused.

    Args:
        values_yaml: what values.yaml will be; its comments are the schema's descriptions.
    """
    services = tuple(services)
    schema: dict[str, Any] = json.loads(present)
    names = [process.name for process in _processes(services)]
    schema["properties"]["services"] = {
        "type": "object",
        "properties": {name: {"$ref": "#/definitions/service"} for name in names},
        "additionalProperties": False,
        "required": names,
    }
    images = [*(service.name for service in services), *OTHER_IMAGES]
    schema["properties"]["image"]["properties"]["digests"]["propertyNames"] = {"enum": images}
    schema["properties"]["secrets"] = {
        "type": "object",
        "properties": {service.name: _keys_elsewhere(service) for service in services if _keys(service)},
        "additionalProperties": False,
    }
    return json.dumps(values.described(schema, values_yaml), indent=2) + "\n"


def _keys_elsewhere(service: Service) -> dict[str, Any]:
    keys = (*_keys(service), *(key for need in service.needs for key in BY_VALUE_KEYS.get(need, ())))
    return {
        "type": "object",
        "properties": {key: {"$ref": "#/definitions/place"} for key in sorted(keys)},
        "additionalProperties": False,
    }


def _keys(service: Service) -> tuple[str, ...]:
    return tuple(key for need, keys in SECRET_KEYS.items() if need in service.needs for key in keys)


def readme_text(present: str, values_yaml: str, schema: str, services: Iterable[Service] = SERVICES) -> str:
    """Return the chart's README with the tables of Secrets and of values, from what the other two will be."""
    lines = ["| Secret | keys |", "| --- | --- |"]
    for service in services:
        if keys := [f"`{key}`" for key in _keys(service)]:
            lines.append(f"| `laundry-{service.name}` | {', '.join(keys)} |")
    made = replaced(present, "secrets", "\n".join(lines))
    return replaced(made, "values", values.table(values_yaml, json.loads(schema)))


def _processes(services: Iterable[Service]) -> Iterator[Process]:
    return (process for service in services for process in service.processes)
