"""Bring a broker to the declared topology, and compare it with the topology."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from laundry_events.definitions import definitions
from laundry_events.errors import PlanRefused
from laundry_events.topology import PLAN, VHOST

TIMEOUT_SECONDS = 60.0
# Enough to find an entry again; the rest is compared.
IDENTITY = {
    "exchanges": ("name",),
    "queues": ("name",),
    "bindings": ("source", "destination", "routing_key"),
    "policies": ("name",),
    "permissions": ("user",),
    "topic_permissions": ("user", "exchange"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A broker's management API and an administrator of it."""

    management_url: str
    username: str
    password: str

    def client(self) -> httpx.Client:
        """Return a client that is logged in."""
        return httpx.Client(
            base_url=self.management_url, auth=(self.username, self.password), timeout=TIMEOUT_SECONDS
        )


def apply(target: Target, passwords: Mapping[str, str] | None, *, nodes: int) -> None:
    """Import the plan; with ``passwords`` also the services' users. Raises PlanRefused."""
    with target.client() as client:
        _checked(client.post("/api/definitions", json=definitions(passwords, nodes=nodes)))
        vhost, user = quote(VHOST, safe=""), quote(target.username, safe="")
        grant = {"configure": ".*", "write": ".*", "read": ".*"}
        _checked(client.put(f"/api/permissions/{vhost}/{user}", json=grant))


def differences(target: Target) -> list[str]:
    """Return what the broker lacks, has besides or has otherwise than planned; empty when it agrees."""
    with target.client() as client:
        nodes = len(_checked(client.get("/api/nodes")).json())
        known = {user["name"] for user in _checked(client.get("/api/users")).json()}
        planned = definitions(dict.fromkeys(_planned_users(), "unused"), nodes=nodes)
        vhost = quote(VHOST, safe="")
        if client.get(f"/api/vhosts/{vhost}").status_code == 404:
            return [f"the virtual host {VHOST} is missing"]
        found: list[str] = [f"the user {name} is missing" for name in _planned_users() if name not in known]
        for kind, identity in IDENTITY.items():
            path = (
                f"/api/vhosts/{vhost}/{kind.replace('_', '-')}"
                if kind.endswith("permissions")
                else f"/api/{kind}/{vhost}"
            )
            present = _checked(client.get(path)).json()
            # The administrator's own grant, and what RabbitMQ makes by itself, are no part of the plan.
            present = [entry for entry in present if not _is_builtin(kind, entry, target.username)]
            found += _compare(kind, identity, planned[kind], present)
    return found


def _planned_users() -> list[str]:
    return [service.name for service in PLAN.services]


def _is_builtin(kind: str, entry: dict[str, Any], administrator: str) -> bool:
    if kind == "exchanges":
        return bool(entry["name"] == "" or entry["name"].startswith("amq."))
    if kind == "bindings":
        return bool(entry["source"] == "")
    if kind in ("permissions", "topic_permissions"):
        return bool(entry["user"] == administrator)
    return kind == "queues" and bool(entry.get("exclusive") or entry["name"].startswith("mqtt-subscription-"))


def _compare(
    kind: str, identity: tuple[str, ...], planned: list[dict[str, Any]], present: list[dict[str, Any]]
) -> list[str]:
    def key(entry: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(entry.get(name, "")) for name in identity)

    wanted, there = {key(entry): entry for entry in planned}, {key(entry): entry for entry in present}
    found = [f"{kind}: {' / '.join(name)} is missing" for name in wanted.keys() - there.keys()]
    found += [f"{kind}: {' / '.join(name)} is not in the plan" for name in there.keys() - wanted.keys()]
    for name in wanted.keys() & there.keys():
        for field, value in wanted[name].items():
            if field == "arguments" and not value:
                continue
            actual = there[name].get(field)
            if field == "arguments" and isinstance(actual, dict):
                actual = {argument: actual.get(argument) for argument in value}
            if actual != value:
                found.append(f"{kind}: {' / '.join(name)}: {field} is {actual!r}, planned {value!r}")
    return sorted(found)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise PlanRefused(
        f"RabbitMQ's management API answered {answer.status_code} to {answer.request.method} "
        f"{answer.request.url.path}: {answer.text[:500]}"
    )
