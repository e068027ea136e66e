"""``laundry history``: all that ever happened to a task, a branch or a piece of equipment."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from laundry.commands.audit_log import Entry, Wanted, addresses, entries
from laundry.commands.history_options import AmqpUrl, EventHistory, ManagementUrl, Unhandled, run
from laundry.commands.moments import moment
from laundry.display import console, visible
from laundry.history.effects import Effects, effects_of
from laundry.history.log import Happening, within
from laundry.history.words import words
from laundry_events.topology import PERSON_ERASED, PLAN
from laundry_servers.errors import LaundryError

MARKS = {
    "done": "✓",
    "dead": "dead letter",
    "discarded": "discarded",
    "recent": "on its way",
    "waits": "waits",
    "unknown": "?",
    "unhandled": "UNHANDLED",
}


def history(
    thing: Annotated[
        str | None,
        typer.Argument(help="The id of a task, a branch or a piece of equipment.", show_default=False),
    ] = None,
    *,
    unhandled: Annotated[
        bool,
        typer.Option(
            "--unhandled", help="Everything that was accepted and never had its effect; exit status 1 if any."
        ),
    ] = False,
    since: Annotated[str | None, typer.Option(help="From then on.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option(help="Before then.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on each line.")] = False,
    amqp_url: AmqpUrl = None,
    management_url: ManagementUrl = None,
) -> None:
    """Tell all that ever happened to something, in order: who did what, why, and whether it had its effect.

    Events are kept for 30 days, fewer if there is no room for them; acts of people (from the audit) for good.
    With --unhandled it looks for events that are in the history and in no inbox, are no dead letter and wait
    nowhere; of the last 13 days, as inboxes are kept for 14.
    """
    if (thing is None) != unhandled:
        raise LaundryError("Name a task, a branch or a piece of equipment; or ask for --unhandled.")
    history = EventHistory(amqp_url, management_url)
    from_, to = moment(since), moment(until)
    if thing is None:
        for service in history.without:
            console.print(f"The database of {service} is not named, so its queues are not looked at.")
        _tell_unhandled(run(_unhandled(history, from_, to)), as_json=as_json)
        return
    happenings, effects, acts = run(_about(history, thing, from_, to))
    lines = sorted(
        [_of_event(each, effects) for each in happenings] + [_of_act(each) for each in acts],
        key=lambda line: str(line["at"]),
    )
    if as_json:
        for line in lines:
            typer.echo(json.dumps(line, ensure_ascii=False))
        return
    if not lines:
        typer.echo(f"Nothing is known of {visible(thing)}.")
        return
    table = Table("when", "event", "who", "what", "why", "effect")
    for line in lines:
        cells = (line[name] for name in ("at", "event", "who", "what", "why"))
        table.add_row(*(visible(cell or "-") for cell in cells), visible(_marks(line["effects"])))
    Console().print(table)


async def _about(
    history: EventHistory, thing: str, since: datetime | None, until: datetime | None
) -> tuple[list[Happening], Effects, list[Entry]]:
    async with history.log() as log:
        # To the end: a reading after ``until`` is the effect of a photo from before.
        happenings = await log.all(lambda each: each.is_about(thing), since=since, about=_subject(thing))
        if not any(each.event.subject == thing != each.branch for each in happenings):
            # Of a branch, whose id may look like a task's: then its tasks' events have other subjects.
            happenings = await log.all(lambda each: each.is_about(thing), since=since)
    wanted = Wanted(since, until, object=thing)
    acts = [each for each in await entries(addresses(None)) if wanted.takes(each.record)]
    effects = await effects_of([each.outline for each in happenings], history.places)
    return [each for each in happenings if within(each, since, until)], effects, acts


def _subject(thing: str) -> str | None:
    """Return the thing if it may be what its events are about; those of a branch are about its tasks."""
    try:
        UUID(thing)
    except ValueError:
        return None
    return thing


async def _unhandled(history: EventHistory, since: datetime | None, until: datetime | None) -> Unhandled:
    async with history.log() as log:
        return await history.unhandled(log, since, until)


def _tell_unhandled(found: Unhandled, *, as_json: bool) -> None:
    table = Table("when", "event", "about", "queue", "id")
    for queue in found.queues:
        for each in found.of(queue):
            line = {
                "at": _time(each.at),
                "event": each.event_type,
                "about": each.subject,
                "queue": queue,
                "id": each.id,
            }
            if as_json:
                typer.echo(json.dumps(line, ensure_ascii=False))
            else:
                table.add_row(*(visible(cell) for cell in line.values()))
    waiting = {queue: number for queue, number in found.effects.waiting.items() if number}
    for queue, number in waiting.items():
        console.print(f"{queue}: {number:,} messages wait or are being handled; as many are not counted")
    for queue, number in found.unsure.items():
        console.print(
            f"[yellow]{queue}: it cannot be told of {number:,} events: somebody else looks at its dead "
            "letters, or there are too many. Ask again.[/yellow]"
        )
    if not found.queues:
        rest = "each other" if found.unsure else "each"
        console.print(f"[green]✓[/green] {found.number:,} events: {rest} had its effect, or still will")
        return
    if not as_json:
        Console().print(table)
    raise LaundryError(f"These had no effect. {_what_to_do(found.queues)}")


def _what_to_do(queues: Sequence[str]) -> str:
    """Say how what had no effect gets it."""
    asked_again = [queue for queue in queues if PERSON_ERASED in PLAN.queue(queue).keys]
    fed = [queue for queue in queues if queue not in asked_again]
    said = ["Is their queue bound (laundry topology verify)?"]
    if fed:
        said.append("Then: " + "; ".join(f"laundry replay --unhandled --into {queue}" for queue in fed))
    if asked_again:
        # The history does not say whom a request for erasure was about.
        services = ", ".join(PLAN.queue(queue).consumer for queue in asked_again)
        said.append(
            f"operations asks {services} again by itself, an hour after it asked last; "
            "see: laundry people erasures"
        )
    return " ".join(said)


def _of_event(happening: Happening, effects: Effects) -> dict[str, Any]:
    who, what, why = words(happening.event)
    return {
        "at": _time(happening.at),
        "event": happening.event.event_type,
        "who": who,
        "what": what,
        "why": why,
        "source": happening.source,
        "id": happening.id,
        "trace": happening.headers.get("traceparent"),
        "effects": effects.of(happening.outline),
    }


def _of_act(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "at": _time(datetime.fromisoformat(record["at"])),
        "event": str(record.get("action", "")),
        "who": record.get("by"),
        "what": str(record.get("outcome", "done")),
        "why": record.get("reason"),
        "source": entry.service,
        "id": f"{entry.service}/{entry.number}",
        "trace": record.get("trace_id"),
        "effects": {},
    }


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _marks(effects: dict[str, str]) -> str:
    told: Sequence[str] = [f"{queue} {MARKS[state]}" for queue, state in effects.items()]
    return ", ".join(told) or "-"
