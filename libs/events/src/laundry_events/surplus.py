"""Removes from a broker what its plan no longer has, as far as nothing is lost by it.

A queue goes only while it is empty and has no consumer, a retry or dead-letter queue only if its main
queue goes too or is still planned, a policy only with its queue. Rights of users stay: they may be another
system's, and a person decides about them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from laundry_events.broker_plan import Difference, Target, checked
from laundry_events.plan import Plan

FOLLOWS = re.compile(r"(?P<main>.+)\.(dlq|retry\.[0-9]+s)")


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of the surplus: what was removed, and what is left with the reason."""

    removed: tuple[Difference, ...]
    left: tuple[tuple[Difference, str], ...]


def remove_surplus(target: Target, plan: Plan, found: Sequence[Difference]) -> Removal:
    """Remove what ``broker_plan.differences`` found besides the plan. Raises PlanRefused."""
    surplus = [each for each in found if each.surplus]
    removed: list[Difference] = []
    left: list[tuple[Difference, str]] = []
    with target.client() as client:
        broker = _Broker(client, quote(plan.vhost, safe=""))
        queues = {each.name[0]: each for each in surplus if each.kind == "queues"}
        kept = broker.kept(queues)
        for each in _in_order(surplus):
            reason = kept.get(_queue_of(each)) or broker.remove(each)
            if reason is None:
                removed.append(each)
                continue
            left.append((each, reason))
            if each.kind == "queues":
                kept[each.name[0]] = reason
    return Removal(tuple(removed), tuple(left))


def _in_order(surplus: Sequence[Difference]) -> list[Difference]:
    """Bindings first, so that nothing arrives any more; policies after their queues, exchanges last."""
    kinds = ("bindings", "queues", "policies", "exchanges")
    return sorted(surplus, key=lambda each: kinds.index(each.kind) if each.kind in kinds else len(kinds))


def _queue_of(difference: Difference) -> str:
    """Name the queue that a thing belongs to: itself, the one it is bound to, or the one of its policy."""
    return difference.name[1] if difference.kind == "bindings" else difference.name[0]


class _Broker:
    def __init__(self, client: httpx.Client, vhost: str) -> None:
        self._client = client
        self._vhost = vhost

    def kept(self, queues: dict[str, Difference]) -> dict[str, str]:
        """Return which of the queues must stay, and why."""
        found = {name: reason for name in queues if (reason := self._in_use(name)) is not None}
        for name in queues.keys() - found.keys():
            follows = FOLLOWS.fullmatch(name)
            if follows is not None and follows["main"] in found:
                found[name] = f"{follows['main']} is left"
        return found

    def remove(self, difference: Difference) -> str | None:
        """Remove one thing; returns why not, if it must stay."""
        entry, name = difference.found or {}, quote(difference.name[0], safe="")
        match difference.kind:
            case "bindings":
                to = "q" if entry["destination_type"] == "queue" else "e"
                destination = quote(entry["destination"], safe="")
                key = quote(entry["properties_key"], safe="")
                self._delete(f"/api/bindings/{self._vhost}/e/{name}/{to}/{destination}/{key}")
            case "queues":
                # Its bindings are gone; what came before is looked for once more.
                if reason := self._in_use(difference.name[0]):
                    return reason
                self._delete(f"/api/queues/{self._vhost}/{name}")
            case "policies":
                self._delete(f"/api/policies/{self._vhost}/{name}")
            case "exchanges":
                answer = self._client.delete(f"/api/exchanges/{self._vhost}/{name}?if-unused=true")
                if answer.status_code == httpx.codes.BAD_REQUEST:
                    return "something is bound to it"
                checked(answer)
            case _:
                return "a person decides about rights"
        return None

    def _in_use(self, name: str) -> str | None:
        path = f"/api/queues/{self._vhost}/{quote(name, safe='')}"
        queue = checked(self._client.get(path)).json()
        waiting, consumers = int(queue.get("messages", 0)), int(queue.get("consumers", 0))
        if not waiting and queue.get("type") != "stream":
            # The count is some seconds old; the queue itself is not.
            peek = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1}
            waiting = len(checked(self._client.post(f"{path}/get", json=peek)).json())
        if waiting:
            return f"it holds messages ({waiting:,})"
        return f"{consumers} consumers read it" if consumers else None

    def _delete(self, path: str) -> None:
        answer = self._client.delete(path)
        if answer.status_code != httpx.codes.NOT_FOUND:
            checked(answer)
