"""What became of events: whose inbox has them, which are dead letters, what may still wait, what is lost."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from laundry.commands.audit_log import connected
from laundry.history.log import Happening
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_events.inbox import RETENTION
from laundry_events.plan import Plan, Queue
from laundry_events.topology import PLAN

State = Literal["done", "dead", "discarded", "recent", "waits", "unknown", "unhandled"]
RECENT = timedelta(seconds=10)
"""How long an event may be between two places and be counted in neither."""

AT_ONCE = 5_000
CLAIMED = "SELECT message_id FROM inbox WHERE consumer = $1 AND message_id = ANY($2)"
HAS_OUTBOX = "SELECT to_regclass('outbox') IS NOT NULL"
UNPUBLISHED = "SELECT event_id FROM outbox WHERE event_id = ANY($1)"
DISCARDED = "SELECT queue, message_id FROM audit WHERE action = 'discard' AND message_id = ANY($1)"
Totals = Callable[[], Awaitable[Mapping[str, int]]]
DeadIn = Callable[[str], Awaitable[set[str]]]


def claim_name(service: str, event_type: str) -> str:
    """Return the name under which a service claims the messages of an event in its inbox."""
    return f"{service}.{re.sub(r'(?<!^)(?=[A-Z])', '-', event_type).lower()}"


@dataclass
class Effects:
    """What became of each event in each queue that it is for.

    Attributes:
        waiting: how many messages each queue holds.
        excused: what would be unhandled, if it were not for so many that wait.
    """

    states: dict[tuple[str, str], State] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    excused: set[tuple[str, str]] = field(default_factory=set)

    def of(self, happening: Happening, plan: Plan = PLAN) -> dict[str, State]:
        """Return what became of one event, by queue."""
        return {
            queue.name: self.states[queue.name, happening.id]
            for queue in plan.takers(happening.event.routing_key)
            if (queue.name, happening.id) in self.states
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
        totals: counts what each queue holds, at this moment.
        dead_in: reads the ids of a queue's dead letters.
    """

    databases: Mapping[str, str]
    totals: Totals
    dead_in: DeadIn
    plan: Plan = PLAN


async def effects_of(happenings: Sequence[Happening], places: Places) -> Effects:
    """Find out what became of events; ``happenings`` holds the answers to those that are answered.

    First what waits is counted, then inboxes and dead letters are read: what moves on in between is found
    where it arrives. Which messages wait in a living queue is not looked at, as that would hold them up.

    Raises:
        LaundryError: a database does not answer.
    """
    found = Effects()
    totals = await places.totals()
    meant: dict[str, list[Happening]] = defaultdict(list)
    takers = {key: places.plan.takers(key) for key in {each.event.routing_key for each in happenings}}
    for each in happenings:
        for queue in takers[each.event.routing_key]:
            meant[queue.name].append(each)
    for name, mine in meant.items():
        queue = places.plan.queue(name)
        names = [queue.name, *(name for name, _ in queue.retries)]
        if _answers(queue):
            # An answer that has not reached the history yet.
            names += [name for each in places.plan.queues if each.every for name in each.limits if each.dead]
        found.waiting[queue.name] = sum(totals.get(name, 0) for name in names)
        if queue.consumer not in places.databases and not _answers(queue):
            found.states |= {(queue.name, each.id): "unknown" for each in mine}
            continue
        done = await _done(queue, mine, happenings, places)
        left = [each for each in mine if each.id not in done]
        dead = await places.dead_in(queue.name) if left else set()
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
    return found


def _state(happening: Happening, now: datetime, *, dead: bool, discarded: bool, unpublished: bool) -> State:
    if unpublished:
        return "waits"
    if dead or discarded:
        return "dead" if dead else "discarded"
    age = now - (happening.at or now)
    if age > RETENTION - timedelta(days=1):
        return "unknown"  # older than what inboxes keep
    return "recent" if age < RECENT else "unhandled"


def _let_wait(found: Effects, queue: Queue, left: Iterable[Happening]) -> None:
    """As many of the newest may be among those that the queue holds."""
    open_ = [each.id for each in left if found.states[queue.name, each.id] in ("unhandled", "recent")]
    for id_ in open_[::-1][: found.waiting[queue.name]]:
        if found.states[queue.name, id_] == "unhandled":
            found.excused.add((queue.name, id_))
        found.states[queue.name, id_] = "waits"


async def _done(
    queue: Queue, mine: Sequence[Happening], happenings: Sequence[Happening], places: Places
) -> set[str]:
    if _answers(queue):
        return _answered(mine, happenings)
    ids: dict[str, list[str]] = defaultdict(list)
    for each in mine:
        ids[claim_name(queue.consumer, each.event.event_type)].append(each.id)
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


def _answered(mine: Sequence[Happening], happenings: Sequence[Happening]) -> set[str]:
    answers = {
        (each.event.task_id, each.event.task_version)
        for each in happenings
        if isinstance(each.event, TaskRead)
    }
    return {
        each.id
        for each in mine
        if isinstance(each.event, TaskSubmitted) and (each.event.task_id, each.event.task_version) in answers
    }


async def _unpublished(left: Sequence[Happening], places: Places) -> set[str]:
    """Find those that are still in an outbox: the history took its copy, and a full queue did not."""
    ids, found = [each.id for each in left], set()
    for service, url in places.databases.items():
        async with connected(service, url) as connection:
            if await connection.fetchval(HAS_OUTBOX):
                found |= {row["event_id"] for row in await connection.fetch(UNPUBLISHED, ids)}
    return found


async def _discarded(queue: Queue, left: Sequence[Happening], places: Places) -> set[str]:
    async with connected("operations", places.databases["operations"]) as connection:
        rows = await connection.fetch(DISCARDED, [each.id for each in left])
    return {row["message_id"] for row in rows if row["queue"] == queue.name}
