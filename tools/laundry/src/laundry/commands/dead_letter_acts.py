"""``laundry dlq redrive|discard``: acting on dead letters."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

import typer

from laundry.commands.asking import confirmed
from laundry.commands.audited import person
from laundry.commands.dead_letter_audit import opened_audit
from laundry.commands.dead_letter_options import (
    AmqpUrl,
    By,
    Ids,
    Limit,
    QueueArgument,
    Reason,
    Scan,
    meant_queues,
    perform,
)
from laundry.display import console, visible
from laundry_dead_letters import actions
from laundry_dead_letters.actions import Bounds, Tally
from laundry_dead_letters.broker import Broker
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection
from laundry_events.plan import dead_queue
from laundry_servers.errors import LaundryError


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a letter until a person confirms: not its body, which may be 64 KiB."""

    queue: str
    fingerprint: str
    group: tuple[str, str, str, int]


def redrive(
    queue: QueueArgument = None,
    *,
    ids: Ids = None,
    reason: Reason = None,
    limit: Limit = None,
    rate: Annotated[float, typer.Option(min=0.1, help="At most this many per second.")] = 100.0,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run/--execute", " /--yes", help="Show what would happen, or do it."),
    ] = True,
    reason_text: Annotated[
        str | None,
        typer.Option(
            help="Why you send them back; required with --execute, kept with each.", show_default=False
        ),
    ] = None,
    to_origin: Annotated[
        bool,
        typer.Option(
            "--to-origin",
            "--anew",
            help="Publish them to the exchange they came from, for letters that no consumer signed; look "
            "at each before. Needs an administrator's login.",
        ),
    ] = False,
    by: By = None,
    scan: Scan = 10_000,
    amqp_url: AmqpUrl = None,
) -> None:
    """Send dead letters back to the queue that they died in, as if they had never failed.

    Without --execute it only shows what would happen. A letter keeps its id, event headers and trace, gets
    four attempts again, and carries who sent it back, when, why and how often. It leaves the dead letters
    only after the broker has confirmed the copy and the audit has the record; stop or kill this at any
    moment and run it again: nothing is lost, and a copy sent twice has one effect, thanks to the consumers'
    inboxes.

    Consumers may keep running. Letters that are not meant are held while it runs and go back to the head of
    their queue, in order, with the time to live that they had; another dlq command that is started then
    sees fewer. Redriven letters join the end of their queue, behind newer messages. A letter that dies again
    before the end waits for the next run.

    A consumer takes back only what it signed. A letter that the broker dead-lettered, or from before there
    were keys, dies again as redrive-not-signed: look at it, and send it with --to-origin if it is genuine.
    """
    queues, selection = meant_queues(queue, ids), Selection(reason, frozenset(ids or ()))
    if dry_run:
        found, looked = _preview(queues, selection, Bounds(scan, limit), amqp_url)
        _say("would be sent back", found, looked)
        if found:
            console.print("Nothing was changed. Do it: the same command with --execute")
        return
    if not reason_text:
        raise LaundryError('Say why they are sent back: --reason-text "..."')
    act = OperatorAction("redrive", person(by), reason_text, run=str(uuid4()))
    tally = Tally()

    async def send(broker: Broker, tally: Tally) -> None:
        async with opened_audit(amqp_url) as audit:
            for name in queues:
                if limit is not None and tally.done >= limit:
                    break
                bounds = Bounds(scan, limit)
                await actions.redrive(
                    broker,
                    name,
                    selection,
                    bounds,
                    tally,
                    act=act,
                    audit=audit,
                    rate=rate,
                    to_origin=to_origin,
                )

    perform("sending back", send, amqp_url=amqp_url, tally=tally, done="sent back")
    console.print(f"[green]✓[/green] {tally.done:,} sent back, {tally.waiting - tally.done:,} left")


def discard(
    queue: QueueArgument = None,
    *,
    ids: Ids = None,
    reason: Reason = None,
    limit: Limit = None,
    reason_text: Annotated[
        str | None, typer.Option(help="Why they may be lost; required.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
    scan: Scan = 10_000,
    amqp_url: AmqpUrl = None,
) -> None:
    """Remove dead letters for good. It shows them and asks; export them first if in doubt.

    Each is removed only after its audit record is durable. Only letters that were shown are removed, none
    that arrived meanwhile. Those not selected go back to the head of their queue, in order, with the
    time to live that they had.
    """
    if not reason_text:
        raise LaundryError('Say why they may be lost: --reason-text "..."')
    queues, selection = meant_queues(queue, ids), Selection(reason, frozenset(ids or ()))
    found, looked = _preview(queues, selection, Bounds(scan, limit), amqp_url)
    _say("would be lost for good", found, looked)
    if not found:
        return
    if not yes and not confirmed(f"Discard {len(found):,} dead letters?"):
        console.print("Nothing was discarded.")
        raise typer.Exit(1)
    act = OperatorAction("discard", person(by), reason_text, run=str(uuid4()))
    tally = Tally()

    async def remove(broker: Broker, tally: Tally) -> None:
        async with opened_audit(amqp_url) as audit:
            for name in queues:
                if tally.done >= len(found):
                    break
                # The same event may have died in another queue, where nobody was shown it.
                agreed = Selection(only=frozenset(one.fingerprint for one in found if one.queue == name))
                bounds = Bounds(scan, len(found))
                await actions.remove(broker, name, agreed, bounds, tally, act=act, audit=audit)

    perform("discarding", remove, amqp_url=amqp_url, tally=tally, done="discarded")
    console.print(f"[green]✓[/green] {tally.done:,} discarded; see: laundry dlq audit")


def _preview(
    queues: list[str], selection: Selection, bounds: Bounds, amqp_url: str | None
) -> tuple[list[_Seen], Tally]:
    found: list[_Seen] = []
    looked = Tally()

    def note(letter: DeadLetter) -> None:
        group = (dead_queue(letter.queue), letter.reason, letter.error_class, letter.redriven)
        found.append(_Seen(letter.queue, letter.fingerprint, group))

    async def look(broker: Broker, tally: Tally) -> None:
        for name in queues:
            await actions.look(broker, name, selection, bounds, tally, handle=note)
            if bounds.limit is not None and tally.done >= bounds.limit:
                break

    perform("looking at dead letters", look, amqp_url=amqp_url, tally=looked)
    return found, looked


def _say(what: str, letters: list[_Seen], looked: Tally) -> None:
    console.print(f"{len(letters):,} dead letters {what}.")
    if looked.looked_at < looked.waiting:
        console.print(
            f"[yellow]Looked at {looked.looked_at:,} of {looked.waiting:,}:[/yellow] see --limit and --scan."
        )
    groups = Counter(seen.group for seen in letters)
    for (queue, reason, error_class, redriven), count in groups.most_common():
        error = f" ({error_class})" if error_class else ""
        again = f" [yellow]already redriven {redriven}×[/yellow]" if redriven else ""
        console.print(f"  {count:,}× {queue}: {visible(reason + error)}{again}")
