"""RabbitMQ definitions generated from the plan: import them at boot or post them to the management API."""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from laundry_events.plan import (
    ALIVE_EXCHANGE,
    ALIVE_KEY,
    DEAD_EXCHANGE,
    DEAD_LETTER_TTL_MS,
    DELIVERY_LIMIT,
    EVENTS_EXCHANGE,
    REPLIES_EXCHANGE,
    REQUEST_TTL_MS,
    REQUESTS_EXCHANGE,
    REQUEUE_EXCHANGE,
    RETRY_EXCHANGE,
    Plan,
    Queue,
    Service,
    reply_queues,
)

Definition = dict[str, Any]
NOTHING = "^$"


def _any_of(names: Sequence[str], patterns: Sequence[str] = ()) -> str:
    """Return an expression for names, and for what the patterns match."""
    all_ = [*(re.escape(name).replace(r"\-", "-") for name in names), *patterns]
    return "^(" + "|".join(all_) + ")$" if all_ else NOTHING


def _reply_queues(service: str) -> str:
    return re.escape(reply_queues(service)).replace(r"\-", "-") + "[0-9a-f]+"


def _hashed(password: str) -> str:
    """Hash as RabbitMQ does (rabbit_password_hashing_sha256), so that definitions hold no plain-text
    password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def queues(plan: Plan, *, vhost: str, nodes: int = 1) -> list[Definition]:
    """Return every queue with only its type and group size; everything else is a policy, which may change."""
    found: list[Definition] = []
    for queue in plan.queues:
        if queue.kind == "stream":
            arguments: dict[str, Any] = {"x-queue-type": "stream", "x-initial-cluster-size": nodes}
            found.append(_queue(queue.name, vhost, arguments))
            continue
        arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": nodes}
        names = [queue.name, *(name for name, _ in queue.retries), str(queue.dead)]
        found.extend(_queue(name, vhost, dict(arguments)) for name in names)
    arguments = {"x-queue-type": "quorum", "x-quorum-initial-group-size": nodes}
    found.extend(_queue(each.name, vhost, dict(arguments)) for each in plan.requests)
    return found


def _queue(name: str, vhost: str, arguments: dict[str, Any]) -> Definition:
    return {"name": name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": arguments}


def policies(plan: Plan, *, vhost: str) -> list[Definition]:
    """Return one policy per queue: limits, dead-lettering and overflow behaviour."""
    found: list[Definition] = []
    safe = {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
    for queue in plan.queues:
        if queue.kind == "stream":
            stream = {
                "max-age": queue.max_age,
                "max-length-bytes": queue.max_bytes,
                # The broker drops whole segments only, and its default segment is larger than the limit.
                "stream-max-segment-size-bytes": queue.segment_bytes,
            }
            found.append(_policy(queue.name, vhost, stream))
            continue
        to_dead = {"dead-letter-exchange": DEAD_EXCHANGE, "dead-letter-routing-key": queue.dead}
        bytes_ = {"max-length-bytes": queue.max_bytes}
        main = {
            **safe,
            **to_dead,
            **bytes_,
            "delivery-limit": DELIVERY_LIMIT,
            "max-length": queue.max_length,
        }
        found.append(_policy(queue.name, vhost, main))
        back = {"dead-letter-exchange": REQUEUE_EXCHANGE, "dead-letter-routing-key": queue.name}
        for name, delay_ms in queue.retries:
            found.append(_policy(name, vhost, {**safe, **back, **bytes_, "message-ttl": delay_ms}))
        dead = {
            "message-ttl": DEAD_LETTER_TTL_MS,
            "delivery-limit": -1,
            "max-length-bytes": queue.dead_max_bytes,
            "overflow": queue.dead_overflow,
        }
        found.append(_policy(str(queue.dead), vhost, dead))
    for request in plan.requests:
        limits = {"max-length": request.max_length, "max-length-bytes": request.max_bytes}
        at_once = {"message-ttl": REQUEST_TTL_MS, "overflow": "reject-publish"}
        found.append(_policy(request.name, vhost, {**limits, **at_once}))
    return found


def _policy(queue: str, vhost: str, definition: dict[str, Any]) -> Definition:
    pattern = _any_of([queue])
    return {
        "name": queue,
        "vhost": vhost,
        "pattern": pattern,
        "apply-to": "queues",
        "priority": 10,
        "definition": definition,
    }


def bindings(plan: Plan, *, vhost: str) -> list[Definition]:
    """Return every binding: events and redeliveries to main queues, retries to retry queues, dead letters to
    theirs, and the one that carries nothing (``partition_watch``).
    """
    found: list[Definition] = [
        _binding(ALIVE_EXCHANGE, RETRY_EXCHANGE, ALIVE_KEY, vhost, destination_type="exchange")
    ]
    for queue in plan.queues:
        found.extend(_binding(queue.exchange, queue.name, key, vhost) for key in queue.keys)
        if queue.kind == "stream":
            continue
        found.append(_binding(REQUEUE_EXCHANGE, queue.name, queue.name, vhost))
        found.extend(_binding(RETRY_EXCHANGE, name, name, vhost) for name, _ in queue.retries)
        found.append(_binding(DEAD_EXCHANGE, str(queue.dead), str(queue.dead), vhost))
    found.extend(_binding(REQUESTS_EXCHANGE, each.name, each.name, vhost) for each in plan.requests)
    return found


def _binding(
    source: str, destination: str, key: str, vhost: str, *, destination_type: str = "queue"
) -> Definition:
    return {
        "source": source,
        "vhost": vhost,
        "destination": destination,
        "destination_type": destination_type,
        "routing_key": key,
        "arguments": {},
    }


def _consumed(plan: Plan, service: Service) -> list[Queue]:
    return [queue for queue in plan.consumed_by(service.name) if queue.kind == "quorum"]


def _requests(plan: Plan, service: Service) -> tuple[list[str], list[str]]:
    """Return what a service asks, and what it answers."""
    return (
        [each.name for each in plan.requests if each.asked_by == service.name],
        [each.name for each in plan.requests if each.answered_by == service.name],
    )


def permissions(plan: Plan, *, vhost: str) -> list[Definition]:
    """Return what each service may touch: its queues to read, named exchanges to write, to repeat the binding
    that tells whether its node is cut off, and, if it asks, to make queues for its answers.
    """
    found: list[Definition] = []
    for service in plan.services:
        consumed = _consumed(plan, service)
        exchanges = [EVENTS_EXCHANGE] if service.publishes else []
        exchanges += [RETRY_EXCHANGE, DEAD_EXCHANGE] if consumed else []
        exchanges += [REQUEUE_EXCHANGE] if service.operates else []
        exchanges += service.exchanges
        readable = [queue.name for queue in plan.consumed_by(service.name)]
        readable += [queue.dead for queue in plan.queues if queue.dead and service.operates]
        readable += [ALIVE_EXCHANGE] if consumed else []
        asks, answers = _requests(plan, service)
        exchanges += [REQUESTS_EXCHANGE] if asks else []
        exchanges += [REPLIES_EXCHANGE] if answers else []
        readable += answers + ([REPLIES_EXCHANGE] if asks else [])
        # Binding one's own queue is writing to it and reading from the exchange.
        own = [_reply_queues(service.name)] if asks else []
        found.append(
            {
                "user": service.name,
                "vhost": vhost,
                "configure": _any_of([], own),
                "write": _any_of(exchanges, own),
                "read": _any_of(readable, own),
            }
        )
    return found


def topic_permissions(plan: Plan, *, vhost: str) -> list[Definition]:
    """Return which routing keys a service may use on each exchange."""
    found: list[Definition] = []
    for service in plan.services:
        consumed = _consumed(plan, service)
        asks, answers = _requests(plan, service)
        askers = sorted({each.asked_by for each in plan.requests if each.name in answers})
        allowed = {
            EVENTS_EXCHANGE: list(service.publishes),
            RETRY_EXCHANGE: [name for queue in consumed for name, _ in queue.retries],
            DEAD_EXCHANGE: [str(queue.dead) for queue in consumed],
            REQUEUE_EXCHANGE: [q.name for q in plan.queues if q.dead] if service.operates else [],
            REQUESTS_EXCHANGE: asks,
        }
        for queue in plan.queues:
            keys = allowed.setdefault(queue.exchange, [])
            keys += [key for key in queue.keys if queue.exchange in service.exchanges and key not in keys]
        found.extend(
            {
                "user": service.name,
                "vhost": vhost,
                "exchange": exchange,
                "write": _any_of(keys),
                "read": NOTHING,
            }
            for exchange, keys in allowed.items()
        )
        found.append(
            {
                "user": service.name,
                "vhost": vhost,
                "exchange": REPLIES_EXCHANGE,
                "write": _any_of([], [_reply_queues(each) for each in askers]),
                "read": _any_of([], [_reply_queues(service.name)] if asks else []),
            }
        )
    return found


def definitions(
    plan: Plan,
    passwords: Mapping[str, str] | None = None,
    *,
    vhost: str | None = None,
    nodes: int = 1,
    administrator: tuple[str, str] | None = None,
) -> Definition:
    """Return the whole plan as a RabbitMQ definitions document.

    Args:
        vhost: another virtual host than the plan's.
        passwords: plain-text passwords by service; without one, that user and its permissions are left out.
        administrator: name and plain-text password of one more user with all rights; a broker that imports
            definitions at first boot creates no default user. Only with ``passwords``.
        nodes: the size of the cluster, which is the size of every queue's Raft group.

    Raises:
        ValueError: a service of the plan has no password.
    """
    vhost = vhost or plan.vhost
    document: Definition = {
        "vhosts": [{"name": vhost, "default_queue_type": "quorum"}],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in plan.exchanges
        ],
        "queues": queues(plan, vhost=vhost, nodes=nodes),
        "bindings": bindings(plan, vhost=vhost),
        "policies": policies(plan, vhost=vhost),
    }
    if passwords is not None:
        missing = [service.name for service in plan.services if not passwords.get(service.name)]
        if missing:
            raise ValueError(f"no broker password given for {', '.join(missing)}")
        document["users"] = [
            _user(service.name, passwords[service.name], tags=["management"] if service.operates else None)
            for service in plan.services
        ]
        document["permissions"] = permissions(plan, vhost=vhost)
        document["topic_permissions"] = topic_permissions(plan, vhost=vhost)
        if administrator is not None:
            name, password = administrator
            document["users"].append(_user(name, password, tags=["administrator"]))
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            document["permissions"].append({"user": name, "vhost": vhost, **everything})
    return document


def _user(name: str, password: str, tags: list[str] | None = None) -> Definition:
    return {
        "name": name,
        "password_hash": _hashed(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags or [],
    }
