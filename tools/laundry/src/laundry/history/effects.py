"""What became of events: whose inbox has them, which are dead letters, what may still wait, what is lost."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from laundry.commands.audit_log import connected
from laundry.history.log import Outline
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_events.inbox import RETENTION
from laundry_events.plan import Plan, Queue
from laundry_events.topology import PLAN

State = Literal["done", "dead", "discarded", "recent", "waits", "unknown", "unhandled"]
RECENT = timedelta(seconds=10)
"""How long an event may be between two places and be counted in neither."""

JUDGED = RETENTION - timedelta(days=1)
"""So far back inboxes surely tell what had its effect."""

AT_ONCE = 5_000
CLAIMED = "SELECT message_id FROM inbox WHERE consumer = $1 AND message_id = ANY($2)"
HAS_OUTBOX = "SELECT to_regclass('outbox') IS NOT NULL"
UNPUBLISHED = "SELECT event_id FROM outbox WHERE event_id = ANY($1)"
DISCARDED = "SELECT queue, message_id FROM audit WHERE action = 'discard' AND message_id = ANY($1)"
Totals = Callable[[], Awaitable[Mapping[str, int]]]
DeadIn = Callable[[str], Awaitable[tuple[set[str], int]]]
Task = tuple[str, int]


def claim_name(service: str, event_type: str) -> str:
    """Return the name under which a service claims the messages of an event in its inbox."""
    return f"{service}.{re.sub(r'(?<!^)(?=[A-Z])', '-', event_type).lower()}"


@dataclass
class Effects:
    """What became of each event in each queue that it is for.

    Attributes:
        waiting: how many messages each queue holds.
        excused: what would be unhandled, if it were not for so many that wait, or for dead letters that could
            not be looked at.
    """

    states: dict[tuple[str, str], State] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    excused: set[tuple[str, str]] = field(default_factory=set)

    def of(self, event: Outline, plan: Plan = PLAN) -> dict[str, State]:
        """Return what became of one event, by queue."""
        return {
            queue.name: self.states[queue.name, event.id]
            for queue in plan.takers(event.key)
            if (queue.name, event.id) in self.states
        }

    @property
    def unhandled(self) -> set[tuple[str, str]]:
        """Queue and id of each event that had no effect and waits nowhere."""
        return {place for place, state in self.states.items() if state == "unhandled"}


@dataclass(frozen=True)
class Places:
    """Where effects are looked for.

    Attributes:
        databases: addresses by service.
        totals: counts what each queue holds at this moment, also in the hands of others.
        dead_in: reads the ids of a queue's dead letters; returns them, and how many letters it looked at.
    """

    databases: Mapping[str, str]
    totals: Totals
    dead_in: DeadIn
    plan: Plan = PLAN


async def effects_of(
    events: Sequence[Outline], places: Places, answers: Collection[Task] = frozenset()
) -> Effects:
    """Find out what became of events; ``events`` or ``answers`` hold the readings of photos that are read.

    First what waits is counted, then inboxes and dead letters are read: what moves on in between is found
    where it arrives. Which messages wait in a living queue is not looked at, as that would hold them up.

    Raises:
        LaundryError: a database does not answer.
    """
    found = Effects()
    totals = await places.totals()
    answered = {*answers, *(each.task for each in events if each.task and is_answer(each))}
    for queue, mine in by_queue(events, places.plan):
        names = [queue.name, *(name for name, _ in queue.retries)]
        if _answers(queue):
            # An answer that has not reached the history yet.
            names += [
                name
                for each in places.plan.queues
                if each.every
                for name in each.limits
                if each.dead and name != each.dead
            ]
        found.waiting[queue.name] = sum(totals.get(name, 0) for name in names)
        if not is_judged(queue, places):
            found.states |= {(queue.name, each.id): "unknown" for each in mine}
            continue
        done = await done_in(queue, mine, places, answered)
        left = [each for each in mine if each.id not in done]
        dead, looked_at = await places.dead_in(queue.name) if left else (set(), 0)
        discarded = await _discarded(queue, left, places) if left else set()
        unpublished = await _unpublished(left, places) if left else set()
        found.states |= {(queue.name, each): "done" for each in done}
        now = datetime.now(UTC)
        for each in left:
            found.states[queue.name, each.id] = _state(
                each,
                now,
                dead=each.id in dead,
                discarded=each.id in discarded,
                unpublished=each.id in unpublished,
            )
        _let_wait(found, queue, left)
        if left and looked_at < totals.get(queue.dead or "", 0):
            _leave_unknown(found, queue, left)
    return found


def by_queue(events: Iterable[Outline], plan: Plan) -> list[tuple[Queue, list[Outline]]]:
    """Return the queues that events are for, each with its own, in their order."""
    meant: dict[str, list[Outline]] = {}
    takers: dict[str, Sequence[Queue]] = {}
    for each in events:
        if each.key not in takers:
            takers[each.key] = plan.takers(each.key)
        for queue in takers[each.key]:
            meant.setdefault(queue.name, []).append(each)
    return [(plan.queue(name), mine) for name, mine in meant.items()]


def is_judged(queue: Queue, places: Places) -> bool:
    """Whether it can be told which events of a queue had their effect."""
    return queue.consumer in places.databases or _answers(queue)


def is_answer(event: Outline) -> bool:
    """Whether an event is the effect that another was to have."""
    return event.event_type == TaskRead.event_type


def _state(event: Outline, now: datetime, *, dead: bool, discarded: bool, unpublished: bool) -> State:
    if unpublished:
        return "waits"
    if dead or discarded:
        return "dead" if dead else "discarded"
    age = now - (event.at or now)
    if age > JUDGED:
        return "unknown"
    return "recent" if age < RECENT else "unhandled"


def _let_wait(found: Effects, queue: Queue, left: Iterable[Outline]) -> None:
    """As many of the newest may be among those that the queue holds."""
    open_ = [each.id for each in left if found.states[queue.name, each.id] in ("unhandled", "recent")]
    for id_ in open_[::-1][: found.waiting[queue.name]]:
        if found.states[queue.name, id_] == "unhandled":
            found.excused.add((queue.name, id_))
        found.states[queue.name, id_] = "waits"


def _leave_unknown(found: Effects, queue: Queue, left: Iterable[Outline]) -> None:
    """What is in the hands of somebody who looks at dead letters may be any of them."""
    for each in left:
        if found.states[queue.name, each.id] == "unhandled":
            found.excused.add((queue.name, each.id))
            found.states[queue.name, each.id] = "unknown"


async def done_in(
    queue: Queue, mine: Sequence[Outline], places: Places, answered: Collection[Task]
) -> set[str]:
    """Return the ids of those events that had their effect in a queue.

    Raises:
        LaundryError: its consumer's database does not answer.
    """
    if _answers(queue):
        return {each.id for each in mine if each.task in answered}
    ids: dict[str, list[str]] = defaultdict(list)
    for each in mine:
        ids[claim_name(queue.consumer, each.event_type)].append(each.id)
    done: set[str] = set()
    async with connected(queue.consumer, places.databases[queue.consumer]) as connection:
        for name, some in ids.items():
            for part in range(0, len(some), AT_ONCE):
                rows = await connection.fetch(CLAIMED, name, some[part : part + AT_ONCE])
                done |= {row["message_id"] for row in rows}
    return done


def _answers(queue: Queue) -> bool:
    """Whether a queue's consumer keeps no inbox, as its effect is the event that it publishes."""
    return queue.keys == (TaskSubmitted.routing_key,)


async def _unpublished(left: Sequence[Outline], places: Places) -> set[str]:
    """Find those that are still in an outbox: the history took its copy, and a full queue did not."""
    ids, found = [each.id for each in left], set()
    for service, url in places.databases.items():
        async with connected(service, url) as connection:
            if await connection.fetchval(HAS_OUTBOX):
                found |= {row["event_id"] for row in await connection.fetch(UNPUBLISHED, ids)}
    return found


async def _discarded(queue: Queue, left: Sequence[Outline], places: Places) -> set[str]:
    async with connected("operations", places.databases["operations"]) as connection:
        rows = await connection.fetch(DISCARDED, [each.id for each in left])
    return {row["message_id"] for row in rows if row["queue"] == queue.name}
