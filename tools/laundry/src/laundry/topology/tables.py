"""The queue plan and the rights as rows of text, from the definitions that a broker is given."""

from dataclasses import dataclass
from typing import Any

from laundry_catalogue import service
from laundry_events import definitions
from laundry_events.plan import MIB, Plan, Queue

QUEUE_COLUMNS = (
    "queue",
    "kind",
    "holds",
    "lifetime",
    "deliveries",
    "when full",
    "retries after",
    "dead letters",
    "from",
    "to",
)
NONE = "-"
DAY_MS, SECOND_MS = 86_400_000, 1000
KEPT = {"reject-publish": "refuses more", "drop-head": "drops the oldest"}


@dataclass(frozen=True, slots=True)
class Right:
    """What one login may do, in words."""

    login: str
    reads: str
    publishes: str
    declares: str


def queue_rows(plan: Plan) -> list[tuple[str, ...]]:
    """Return a row for each main queue, in the order of ``QUEUE_COLUMNS``."""
    policies = {each["name"]: each["definition"] for each in definitions.policies(plan, vhost=plan.vhost)}
    return [_row(plan, queue, policies) for queue in plan.queues]


def _row(plan: Plan, queue: Queue, policies: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    main = policies[queue.name]
    messages = f"{main['max-length']:,} or " if "max-length" in main else ""
    retries = [_time(policies[name]["message-ttl"]) for name, _ in queue.retries]
    # What was accepted never expires; a stream keeps what was read, for a while.
    lifetime = main.get("max-age", "").lower().replace("d", " d") or (
        _time(main["message-ttl"]) if "message-ttl" in main else "no end"
    )
    return (
        queue.name,
        queue.kind,
        messages + _bytes(main["max-length-bytes"]),
        lifetime,
        str(main.get("delivery-limit", NONE)),
        KEPT[main.get("overflow", "drop-head")],
        ", ".join(retries) or NONE,
        _dead(policies[queue.dead]) if queue.dead else NONE,
        ", ".join(_publishers(plan, queue)),
        _consumers(queue),
    )


def _dead(policy: dict[str, Any]) -> str:
    kept = f"{_time(policy['message-ttl'])}, {_bytes(policy['max-length-bytes'])}"
    return kept if policy["overflow"] == "reject-publish" else f"{kept}, {KEPT[policy['overflow']]}"


def _publishers(plan: Plan, queue: Queue) -> list[str]:
    found = [each.name for each in plan.services if queue.exchange in each.exchanges]
    if not found:
        found = [each.name for each in plan.services if not set(each.publishes).isdisjoint(queue.keys)]
    return found or (["equipment (MQTT)"] if queue.untrusted else [NONE])


def _consumers(queue: Queue) -> str:
    """The service, and how many of its processes share the queue in a cluster."""
    # The first process of notification is its API; faults have one of their own.
    replicas = max(process.cluster_replicas for process in service(queue.consumer).processes)
    return f"{queue.consumer} ×{replicas}"


def rights(plan: Plan) -> list[Right]:
    """Return what each login may do, from the permissions that the broker is given."""
    read = {each["user"]: each for each in definitions.permissions(plan, vhost=plan.vhost)}
    by_topic = definitions.topic_permissions(plan, vhost=plan.vhost)
    found = []
    for each in plan.services:
        of_login = read[each.name]
        topics = [
            f"{topic['exchange']}: {_names(topic['write'])}"
            for topic in by_topic
            if topic["user"] == each.name and topic["write"] != definitions.NOTHING
        ]
        found.append(
            Right(
                each.name, _names(of_login["read"]), "\n".join(topics) or NONE, _names(of_login["configure"])
            )
        )
    return found


def _names(pattern: str) -> str:
    """Undo what ``definitions`` made of names: ``^(task\\.read|x)$`` is ``task.read, x``."""
    if pattern == definitions.NOTHING:
        return "nothing"
    return pattern.removeprefix("^(").removesuffix(")$").replace("\\", "").replace("|", ", ")


def _bytes(count: int) -> str:
    return f"{count // MIB:,} MiB"


def _time(milliseconds: int) -> str:
    if milliseconds % DAY_MS == 0:
        return f"{milliseconds // DAY_MS} d"
    return f"{milliseconds // SECOND_MS} s"
