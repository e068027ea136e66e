"""``laundry replay``: feed a consumer with past events."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import typer

from laundry.commands.audited import audited
from laundry.commands.history_options import AmqpUrl, EventHistory, ManagementUrl, run
from laundry.commands.moments import moment
from laundry.display import console
from laundry.history.log import Happening
from laundry.history.replay import replay as send
from laundry_events.plan import Plan, Queue
from laundry_events.topology import PERSON_ERASED, PLAN
from laundry_servers.errors import LaundryError

BEGINNING = "beginning"


def replay(
    into: Annotated[str, typer.Option(help="A queue, or a service for all of its queues.")],
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
    that is well stays as it is. Nobody outside hears of it: no phone rings. Producers notice nothing. It may
    be stopped and run again.
    """
    if (from_ is None) != unhandled:
        raise LaundryError(f"Say --from, a time or {BEGINNING!r}; or --unhandled.")
    history = EventHistory(amqp_url, management_url)
    queues = meant(into)
    since, until = (None if from_ == BEGINNING else moment(from_)), moment(to)
    details = {"from": from_ or "unhandled", "to": to or "now"}
    with audited("history.replay", into, reason=reason, on_stack=amqp_url is None, **details):
        for queue in queues:
            number = run(_one(history, queue, since, until, unhandled=unhandled))
            console.print(f"[green]✓[/green] {queue.name}: {number:,} events")


def meant(into: str, plan: Plan = PLAN) -> list[Queue]:
    """Return the queues that are fed. Raises LaundryError."""
    fed = [
        queue
        for queue in plan.queues
        # The history does not say whom a request for erasure was about.
        if queue in plan.takers(queue.keys[0]) and PERSON_ERASED not in queue.keys
    ]
    found = [queue for queue in fed if into in (queue.name, queue.consumer)]
    if not found:
        names = ", ".join(queue.name for queue in fed)
        raise LaundryError(f"{into} is no consumer of events that are kept. There are: {names}")
    return found


async def _one(
    history: EventHistory, queue: Queue, since: datetime | None, until: datetime | None, *, unhandled: bool
) -> int:
    async with history.log() as log:

        async def missing() -> AsyncIterator[list[Happening]]:
            found = (await history.unhandled(log, since, until)).of(queue.name)
            if found:
                yield found

        happenings = (
            missing()
            if unhandled
            else log.read(lambda each: each.event.routing_key in queue.keys, since=since, until=until)
        )
        return await send(log.connection, queue.name, happenings, silent=not unhandled)
