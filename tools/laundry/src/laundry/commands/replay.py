"""``laundry replay``: feed a consumer with past events."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from laundry.commands.audited import audited
from laundry.commands.history_options import AmqpUrl, EventHistory, ManagementUrl, run
from laundry.commands.moments import moment
from laundry.display import console
from laundry.history.log import CLOCKS_APART, Happening, Log
from laundry.history.replay import Following
from laundry.history.replay import replay as send
from laundry_events.plan import Plan, Queue
from laundry_events.topology import PERSON_ERASED, PLAN
from laundry_servers.errors import LaundryError

BEGINNING = "beginning"


def replay(
    into: Annotated[
        str, typer.Option(help="A queue, or a service for all of its queues, one after the other.")
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", help=f"From then on, or {BEGINNING!r}: as far back as is kept."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Before then; default: now.", show_default=False)
    ] = None,
    *,
    unhandled: Annotated[
        bool, typer.Option("--unhandled", help="Only what never had its effect, which it then has whole.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit.", show_default=False)] = None,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Feed a consumer again from the history, or a new one from the beginning, while everything runs.

    What its inbox still knows has no second effect: a consumer whose tables are empty is rebuilt, and one
    that is well stays as it is. With --from no phone rings; with --unhandled people are told, as they never
    were. Producers notice nothing. It may be stopped and run again. Of a service with several queues it
    waits until one is handled before it feeds the next, as what came later would overtake what it is about.
    """
    if (from_ is None) != unhandled:
        raise LaundryError(f"Say --from, a time or {BEGINNING!r}; or --unhandled.")
    history = EventHistory(amqp_url, management_url)
    queues = meant(into)
    since, until = (None if from_ == BEGINNING else moment(from_)), moment(to)
    details = {"from": from_ or "unhandled", "to": to or "now"}
    with audited("history.replay", into, reason=reason, on_stack=amqp_url is None, **details):
        run(feed(history, queues, since, until, unhandled=unhandled))


async def feed(
    history: EventHistory,
    queues: Sequence[Queue],
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    unhandled: bool = False,
) -> None:
    """Feed queues, each once the one before is handled. Raises LaundryError if that does not go on."""
    for place, queue in enumerate(queues, start=1):
        rest = [each.name for each in queues[place:]]
        number = await _one(history, queue, _Told(since, until, unhandled=unhandled, rest=rest))
        console.print(f"[green]✓[/green] {queue.name}: {number:,} events")


@dataclass(frozen=True)
class _Told:
    """Which events a queue is told.

    Attributes:
        rest: the queues that are fed after it.
    """

    since: datetime | None
    until: datetime | None
    unhandled: bool
    rest: Sequence[str]

    @property
    def what_to_do(self) -> str:
        """What a person does where the queue is not handled."""
        which = "--unhandled" if self.unhandled else "--from ..."
        rest = "; ".join(f"laundry replay {which} --into {queue}" for queue in self.rest)
        return f"Is its consumer running (laundry status)? Once all are handled, feed the rest: {rest}"


def meant(into: str, plan: Plan = PLAN) -> list[Queue]:
    """Return the queues that are fed. Raises LaundryError."""
    fed = [
        queue
        for queue in plan.queues
        # The history does not say whom a request for erasure was about.
        if queue in plan.takers(queue.keys[0]) and PERSON_ERASED not in queue.keys
    ]
    found = [queue for queue in fed if into in (queue.name, queue.consumer)]
    if not found and any(into in (queue.name, queue.consumer) for queue in plan.takers(PERSON_ERASED)):
        raise LaundryError(
            f"The history does not say whom a request for erasure was about. operations asks {into} again by "
            "itself, an hour after it asked last; see: laundry people erasures"
        )
    if not found:
        names = ", ".join(queue.name for queue in fed)
        raise LaundryError(f"{into} is no consumer of events that are kept. There are: {names}")
    return found


async def _one(history: EventHistory, queue: Queue, told: _Told) -> int:
    following = Following(queue, history.places)
    with console.status(queue.name) as status:

        def progress(number: int) -> None:
            status.update(f"{queue.name}: {number:,} events sent")

        def waiting(number: int) -> None:
            status.update(f"{queue.name}: {number:,} events are to be handled before {told.rest[0]} is fed")

        async with history.log() as log:
            if told.unhandled:
                happenings = _missing(history, log, queue, told)
            else:
                keys = queue.keys
                happenings = log.read(
                    lambda each: each.event.routing_key in keys, since=told.since, until=told.until
                )
            number = await send(
                log.connection,
                queue.name,
                following.through(happenings),
                silent=not told.unhandled,
                tell=progress,
            )
            if told.rest:
                await following.handled(told.what_to_do, tell=waiting)
    return number


async def _missing(
    history: EventHistory, log: Log, queue: Queue, told: _Told
) -> AsyncIterator[list[Happening]]:
    """Yield what never had its effect, read again: only outlines were kept."""
    found = (await history.unhandled(log, told.since, told.until)).of(queue.name)
    if not found:
        return
    ids = {each.id for each in found}
    times = [each.at for each in found if each.at is not None]
    stored_since = min(times) - CLOCKS_APART if len(times) == len(found) else None
    async for some in log.read(lambda each: each.id in ids, stored_since=stored_since):
        yield some
