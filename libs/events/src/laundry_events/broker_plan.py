"""Apply the declared topology to a broker, and compare the two."""

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from laundry_events.definitions import definitions
from laundry_events.errors import PlanRefused
from laundry_events.plan import REPLIES_EXCHANGE, Plan

TIMEOUT_SECONDS = 60.0
# How long nodes may take to join before a plan that was not taken whole is an error.
PATIENCE_SECONDS, PAUSE_SECONDS = 20.0, 1.0
NAMED = 5
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
    """A broker's management API and an administrator of it.

    Attributes:
        ca_file: whom to trust at ``https://``; if not given, whom this machine trusts (or ``SSL_CERT_FILE``).
    """

    management_url: str
    username: str
    password: str
    ca_file: str | None = None

    def client(self) -> httpx.Client:
        """Return a client that is logged in."""
        # Whom this machine trusts takes long to read, and is not asked over plain HTTP.
        trusted: ssl.SSLContext | bool = self.management_url.startswith("https:")
        if self.ca_file:
            trusted = ssl.create_default_context(cafile=self.ca_file)
        return httpx.Client(
            base_url=self.management_url,
            auth=(self.username, self.password),
            timeout=TIMEOUT_SECONDS,
            verify=trusted,
        )


def apply(
    target: Target,
    plan: Plan,
    passwords: Mapping[str, str] | None,
    *,
    nodes: int,
    patience_s: float = PATIENCE_SECONDS,
) -> None:
    """Import the plan; with ``passwords`` also the services' users. It may be repeated.

    Args:
        nodes: the size of the cluster; counted again where it still grows.
        patience_s: how long its nodes may take to join.

    Raises:
        PlanRefused: the broker does not take it, or lacks something of it afterwards.
        ValueError: a service has no password.
    """
    vhost, user = quote(plan.vhost, safe=""), quote(target.username, safe="")
    grant = {"configure": ".*", "write": ".*", "read": ".*"}
    until = time.monotonic() + patience_s
    with target.client() as client:
        while True:
            document = definitions(plan, passwords, nodes=nodes)
            checked(client.post("/api/definitions", json=document))
            checked(client.put(f"/api/permissions/{vhost}/{user}", json=grant))
            # It answers success and skips all queues and bindings while its cluster lacks nodes.
            missing = _missing(document, checked(client.get(f"/api/definitions/{vhost}")).json())
            if not missing:
                return
            if time.monotonic() >= until:
                raise PlanRefused(_incomplete(missing))
            time.sleep(PAUSE_SECONDS)
            nodes = max(nodes, len(checked(client.get("/api/nodes")).json()))


def _missing(planned: Mapping[str, Any], present: Mapping[str, Any]) -> list["Difference"]:
    """Return what a virtual host's definitions lack; they do not tell of users and their rights."""
    found = (
        each
        for kind in ("exchanges", "queues", "bindings", "policies")
        for each in _compare(kind, IDENTITY[kind], planned[kind], present.get(kind, []))
    )
    return [each for each in found if each.found is None]


def _incomplete(missing: Sequence["Difference"]) -> str:
    named = ", ".join(f"{each.kind}: {' / '.join(each.name)}" for each in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return (
        f"RabbitMQ answered that it took the plan, but lacks {named}{more}. It makes no queue while its "
        "cluster has fewer nodes than it expects (cluster_formation.target_cluster_size_hint): see that all "
        "of them run, then do the same again. It may be repeated."
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a broker lacks, has besides or has otherwise than planned.

    Attributes:
        kind: as the management API calls it, e.g. ``queues``.
        name: what tells it from others of its kind.
        found: the broker's own entry, if it has one.
        planned: the plan's entry, if it has one.
    """

    kind: str
    name: tuple[str, ...]
    found: dict[str, Any] | None = None
    planned: dict[str, Any] | None = None

    @property
    def surplus(self) -> bool:
        """Whether only the broker has it."""
        return self.planned is None

    @property
    def changes(self) -> list[str]:
        """Say what is otherwise than planned, field by field."""
        if self.found is None or self.planned is None:
            return []
        pairs = ((field, _actual(self.found, field, value), value) for field, value in self.planned.items())
        return [
            f"{field} is {actual!r}, planned {value!r}"
            for field, actual, value in pairs
            if actual != value and not (field == "arguments" and not value)
        ]

    def __str__(self) -> str:
        what = f"{self.kind}: {' / '.join(self.name)}"
        if self.found is None:
            return f"{what} is missing"
        return f"{what} is not in the plan" if self.surplus else f"{what}: {'; '.join(self.changes)}"


def differences(target: Target, plan: Plan) -> list[Difference]:
    """Return where the broker departs from the plan; empty when it agrees. Raises PlanRefused."""
    with target.client() as client:
        nodes = len(checked(client.get("/api/nodes")).json())
        known = {user["name"] for user in checked(client.get("/api/users")).json()}
        users = [service.name for service in plan.services]
        planned = definitions(plan, dict.fromkeys(users, "unused"), nodes=nodes)
        vhost = quote(plan.vhost, safe="")
        if client.get(f"/api/vhosts/{vhost}").status_code == 404:
            return [Difference("vhosts", (plan.vhost,), planned={})]
        found = [Difference("users", (name,), planned={}) for name in users if name not in known]
        for kind, identity in IDENTITY.items():
            path = (
                f"/api/vhosts/{vhost}/{kind.replace('_', '-')}"
                if kind.endswith("permissions")
                else f"/api/{kind}/{vhost}"
            )
            present = checked(client.get(path)).json()
            # The administrator's own grant, and what RabbitMQ makes by itself, are no part of the plan.
            present = [entry for entry in present if not _is_builtin(kind, entry, target.username)]
            found += _compare(kind, identity, planned[kind], present)
    return found


def _is_builtin(kind: str, entry: dict[str, Any], administrator: str) -> bool:
    if kind == "exchanges":
        return bool(entry["name"] == "" or entry["name"].startswith("amq."))
    if kind == "bindings":
        # A caller binds the queue of its own that answers come to, for as long as it is connected.
        return bool(entry["source"] in ("", REPLIES_EXCHANGE))
    if kind in ("permissions", "topic_permissions"):
        return bool(entry["user"] == administrator)
    return kind == "queues" and bool(entry.get("exclusive") or entry["name"].startswith("mqtt-subscription-"))


def _compare(
    kind: str, identity: tuple[str, ...], planned: list[dict[str, Any]], present: list[dict[str, Any]]
) -> list[Difference]:
    def by_name(entries: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
        return {tuple(str(entry.get(name, "")) for name in identity): entry for entry in entries}

    wanted, there = by_name(planned), by_name(present)
    all_ = (
        Difference(kind, name, there.get(name), wanted.get(name))
        for name in sorted(wanted.keys() | there.keys())
    )
    return [each for each in all_ if each.found is None or each.surplus or each.changes]


def _actual(found: dict[str, Any], field: str, planned: Any) -> Any:
    actual = found.get(field)
    if field == "arguments" and isinstance(actual, dict):
        return {argument: actual.get(argument) for argument in planned}
    return actual


def checked(answer: httpx.Response) -> httpx.Response:
    """Return a successful answer. Raises PlanRefused for any other."""
    if answer.is_success:
        return answer
    raise PlanRefused(
        f"RabbitMQ's management API answered {answer.status_code} to {answer.request.method} "
        f"{answer.request.url.path}: {answer.text[:500]}"
    )
