"""``laundry dlq``: look at messages that could not be processed."""

import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.commands import dead_letter_acts as acts
from laundry.commands.dead_letter_audit import newest_records
from laundry.commands.dead_letter_options import (
    AmqpUrl,
    Ids,
    QueueArgument,
    Reason,
    Scan,
    meant_queues,
    perform,
)
from laundry.display import console, visible
from laundry_dead_letters.actions import Bounds, Summary, Tally, exported, look, summarise, write_line
from laundry_dead_letters.broker import Broker
from laundry_dead_letters.dead_letter import DeadLetter, Selection, utc
from laundry_events.plan import dead_queue
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Dead letters: what failed, why, where and when; and what to do about it.",
)
app.command()(acts.redrive)
app.command()(acts.discard)
SHOWN_BYTES = 2000


@app.command("list")
def list_queues(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each queue.")] = False,
    scan: Scan = 10_000,
    amqp_url: AmqpUrl = None,
) -> None:
    """Show for each queue how many dead letters wait, since when, and for which reasons."""
    queues = [queue.name for queue in PLAN.queues if queue.dead]

    async def work(broker: Broker, tally: Tally) -> list[Summary]:
        return [await summarise(broker, queue, Bounds(scan), tally) for queue in queues]

    summaries = perform("looking at dead letters", work, amqp_url=amqp_url)
    if as_json:
        for summary in summaries:
            typer.echo(json.dumps(_summary_document(summary)))
        return
    table = Table("dead-letter queue", "messages", "oldest", "reasons", "redriven before")
    # Never truncated: names and reasons are needed in the next command.
    for named in (table.columns[0], table.columns[3]):
        named.overflow = "fold"
    for summary in summaries:
        reasons = [f"{count}× {visible(reason)}" for reason, count in summary.reasons.most_common()]
        if summary.looked_at < summary.waiting:
            reasons.append(f"[dim]of the first {summary.looked_at:,}; see --scan[/dim]")
        table.add_row(
            dead_queue(summary.queue),
            f"[red]{summary.waiting:,}[/red]" if summary.waiting else "0",
            _age(summary.oldest) if summary.oldest else "-",
            "\n".join(reasons) or "-",
            f"[yellow]{summary.redriven}[/yellow]" if summary.redriven else "-",
        )
    Console().print(table)


@app.command()
def show(
    queue: QueueArgument = None,
    *,
    ids: Ids = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show, oldest first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on each line.")] = False,
    scan: Scan = 10_000,
    amqp_url: AmqpUrl = None,
) -> None:
    """Show dead letters: why they died, how often, headers and body. They stay where they are."""
    queues, selection = meant_queues(queue, ids), Selection(reason, frozenset(ids or ()))
    letters: list[DeadLetter] = []

    async def work(broker: Broker, tally: Tally) -> None:
        for name in queues:
            await look(broker, name, selection, Bounds(scan, limit), tally, handle=letters.append)
            if len(letters) >= limit:
                break

    perform("looking at dead letters", work, amqp_url=amqp_url)
    for letter in letters:
        if as_json:
            shown = {**exported(letter, body=False), "body": _text(letter), "bytes": len(letter.body)}
            typer.echo(json.dumps(shown, ensure_ascii=False))
        else:
            _print(letter)
    if not letters and not as_json:
        typer.echo(f"No such dead letter in {', '.join(dead_queue(name) for name in queues)}.")


@app.command()
def export(
    queue: QueueArgument = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-o", dir_okay=False, help="Where to write; must not exist yet.", show_default=False
        ),
    ] = None,
    ids: Ids = None,
    reason: Reason = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many.", show_default=False)] = None,
    scan: Scan = 10_000,
    amqp_url: AmqpUrl = None,
) -> None:
    """Write dead letters to a file as JSON lines, bodies in base64. None is removed."""
    queues, selection = meant_queues(queue, ids), Selection(reason, frozenset(ids or ()))
    name = queue if queue in queues else "dead-letters"
    target = file or Path(f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    if target.exists():
        raise LaundryError(f"{target} exists already. Name another: --file")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Readable by its owner only (messages name people), and never partially written.
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    tally = Tally()
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as lines:

            def write(letter: DeadLetter) -> None:
                write_line(letter, lines)

            async def work(broker: Broker, tally: Tally) -> None:
                for name in queues:
                    await look(broker, name, selection, Bounds(scan, limit), tally, handle=write)

            perform("exporting", work, amqp_url=amqp_url, tally=tally)
            lines.flush()
            os.fsync(lines.fileno())
        Path(part).replace(target)
    finally:
        Path(part).unlink(missing_ok=True)
    console.print(f"[green]✓[/green] {tally.done:,} dead letters written to {escape(str(target))}")


@app.command()
def audit(
    as_json: Annotated[bool, typer.Option("--json", help="The records as they are.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 100,
    amqp_url: AmqpUrl = None,
) -> None:
    """Show who sent back or discarded which dead letter, when and why, here or on the operator's page."""
    records: Sequence[dict[str, Any]] = asyncio.run(newest_records(amqp_url, limit))
    if as_json:
        for record in records:
            typer.echo(json.dumps(record, ensure_ascii=False))
        return
    table = Table("when", "who", "action", "queue", "id", "reason", "had died of")
    for record in records:
        names = ("at", "by", "action", "queue", "id", "reason", "dead_reason")
        table.add_row(*(visible(record.get(name) or "-") for name in names))
    Console().print(table)


def _summary_document(summary: Summary) -> dict[str, Any]:
    return {
        "queue": summary.queue,
        "dead_letter_queue": dead_queue(summary.queue),
        "messages": summary.waiting,
        "looked_at": summary.looked_at,
        "oldest": utc(summary.oldest) if summary.oldest else None,
        "reasons": dict(summary.reasons),
        "redriven_before": summary.redriven,
    }


def _age(when: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC) - when).total_seconds()))
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} s ago"


def _text(letter: DeadLetter) -> str:
    return letter.body[:SHOWN_BYTES].decode(errors="replace")


def _print(letter: DeadLetter) -> None:
    headers = letter.headers
    died = utc(letter.died_at) if letter.died_at else "-"
    rows = {
        "message": letter.message_id or "(no id)",
        "queue": letter.queue,
        "type": headers.get("cloudEvents_type", "(not said)"),
        "why": letter.reason,
        "error": f"{letter.error_class} {letter.error_message}".strip() or "-",
        "place": headers.get("x-error-digest", "-"),
        "where": f"{headers.get('x-service', '-')} {headers.get('x-service-version', '')}",
        "attempts": letter.attempts or "-",
        "deaths": f"{letter.deliveries} consumers died or were lost with it" if letter.deliveries else "-",
        "failed": f"{letter.first_failed_at or '-'} to {died}",
        "published as": letter.origin[1],
        "redriven": f"{letter.redriven}×" if letter.redriven else "never",
        "trace": letter.trace_id or "-",
    }
    if letter.redriven:
        by, at, why = (
            headers.get(f"x-{name}", "-") for name in ("redriven-by", "redriven-at", "redrive-reason")
        )
        rows["last redrive"] = f"{at} by {by}: {why}"
    told = ("x-error-", "x-service", "x-attempt", "x-dead-", "x-first-failed", "x-last-failed", "x-redrive")
    others = {name: value for name, value in headers.items() if not name.startswith(told)}
    rows["headers"] = "\n".join(f"{name}: {value}" for name, value in sorted(others.items())) or "-"
    more = f" … ({len(letter.body):,} bytes)" if len(letter.body) > SHOWN_BYTES else ""
    rows["body"] = _text(letter) + more
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", visible(value))
    Console(highlight=False, soft_wrap=True).print(table, "")
