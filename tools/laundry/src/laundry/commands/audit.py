"""``laundry audit``: who did what, when and why, in every service, and whether the record is intact."""

import asyncio
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laundry.commands.audit_log import Entry, Wanted, addresses, entries, verify
from laundry.commands.moments import moment
from laundry.commands.new_files import new_file
from laundry.display import console, visible
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_service.audit.chain import Head

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="The audit: who did what, when and why, in every service.",
)
FOLLOW_SECONDS = 1.0
FIELDS = ("at", "by", "role", "action", "object", "outcome", "reason", "trace_id")

Service = Annotated[
    list[str] | None, typer.Option("--service", help="Only this service's; may repeat.", show_default=False)
]
Since = Annotated[
    str | None, typer.Option(help="From then on: 2026-05-01, or with a time and zone.", show_default=False)
]
Until = Annotated[str | None, typer.Option(help="Before then.", show_default=False)]
By = Annotated[str | None, typer.Option("--by", help="Only what this person did.", show_default=False)]
Action = Annotated[
    str | None, typer.Option(help="Only actions that begin so, e.g. model.", show_default=False)
]


@app.command("list")
def list_acts(
    service: Service = None,
    *,
    since: Since = None,
    until: Until = None,
    by: By = None,
    action: Action = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on each line.")] = False,
) -> None:
    """Show the newest acts of all services, oldest of them first."""
    wanted = Wanted(moment(since), moment(until), by, action)
    found = [each for each in asyncio.run(entries(addresses(service))) if wanted.takes(each.record)][-limit:]
    if as_json:
        for entry in found:
            typer.echo(json.dumps(entry.document(), ensure_ascii=False))
        return
    table = Table("when", "who", "service", "no.", "action", "what", "why")
    for entry in found:
        table.add_row(*(visible(cell) for cell in _cells(entry)))
    Console().print(table)


@app.command()
def show(
    service: Annotated[str, typer.Argument(help="Whose audit.")],
    number: Annotated[int, typer.Argument(min=1, help="The row's number there.")],
) -> None:
    """Show one record whole, with its place in the chain."""
    for entry in asyncio.run(entries(addresses([service]), {service: number - 1})):
        if entry.number == number:
            typer.echo(json.dumps(entry.document(), ensure_ascii=False, indent=2))
            return
    raise LaundryError(f"The audit of {service} has no row {number}. See: laundry audit list")


@app.command()
def export(
    file: Annotated[
        Path | None,
        typer.Option("--file", "-o", dir_okay=False, help="Where to write; default: standard output."),
    ] = None,
    *,
    service: Service = None,
    since: Since = None,
    until: Until = None,
    by: By = None,
    action: Action = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table in place of JSON lines.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
) -> None:
    """Write records with their hashes as JSON lines, and each audit's head at the end.

    Keep the file where who runs the database cannot write: `laundry audit verify --against FILE` then tells
    whether what was exported is still there.
    """
    urls, wanted = addresses(service), Wanted(moment(since), moment(until), by, action)
    if as_csv and follow:
        raise LaundryError("--follow writes JSON lines; leave out --csv.")
    # An earlier export is evidence and must not be overwritten; of one that follows, each line counts.
    with nullcontext(sys.stdout) if file is None else new_file(file, keep_part=follow) as out:
        write = _csv_writer(out) if as_csv else _line_writer(out)
        heads: dict[str, Head] = {}
        while True:
            after = {name: head.number for name, head in heads.items()}
            for entry in asyncio.run(entries(urls, after)):
                heads[entry.service] = Head(entry.number, entry.hash)
                if wanted.takes(entry.record):
                    write(entry)
            out.flush()
            if not follow:
                break
            time.sleep(FOLLOW_SECONDS)
        if not as_csv:
            for name, head in heads.items():
                out.write(json.dumps({"service": name, "head": str(head)}) + "\n")
    if file is not None:
        told = ", ".join(f"{name} {head}" for name, head in heads.items()) or "none"
        console.print(f"[green]✓[/green] {file}; heads: {told}", soft_wrap=True)


@app.command("verify")
def check(
    service: Service = None,
    against: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="An earlier export.", show_default=False),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head seen before, SERVICE=NUMBER:HASH; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Check every hash of the chains: finds what was changed, removed, moved or cut off.

    A truncated end shows against a head seen before: of an export, of the service's log
    (`audit head`), or of the last time this was run here, which it remembers.
    """
    urls, memory = addresses(service), stack_paths().var / "audit" / "heads.json"
    kept: dict[str, str] = read_json(memory) or {}
    anchors: dict[str, list[Head]] = {name: [] for name in urls}
    for name, text in [*kept.items(), *_given(head or []), *(_exported(against) if against else [])]:
        if name in anchors:
            anchors[name].append(_head(text))
    bad = False
    for name, url in urls.items():
        found = asyncio.run(verify(name, url, anchors[name]))
        for fault in found.faults[:20]:
            console.print(f"[red]✗[/red] {name}: {visible(fault)}")
        if found.faults:
            bad = True
            continue
        kept[name] = str(found.head)
        # A head is copied to be compared later, so it is never broken into two lines.
        console.print(f"[green]✓[/green] {name}: {found.rows:,} rows, head {found.head}", soft_wrap=True)
        if not found.sealed:
            console.print(
                f"  [yellow]The login of {name} owns its tables: a trigger alone guards this audit. Give the "
                "tables to another login (LAUNDRY_DATABASE_OWNER_URL).[/yellow]"
            )
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_json(memory, kept)
    if bad:
        raise LaundryError("The audit was tampered with, or another database was put in place of it.")


def _cells(entry: Entry) -> Iterator[object]:
    record = entry.record
    yield record["at"]
    yield record.get("by") or "-"
    yield entry.service
    yield entry.number
    outcome = record.get("outcome", "done")
    yield record.get("action", "-") if outcome == "done" else f"{record.get('action', '-')} ({outcome})"
    yield record.get("object") or f"{record.get('queue', '-')} {record.get('id') or ''}".strip()
    yield record.get("reason") or "-"


def _line_writer(out: IO[str]) -> Callable[[Entry], object]:
    return lambda entry: out.write(json.dumps(entry.document(), ensure_ascii=False) + "\n")


def _csv_writer(out: IO[str]) -> Callable[[Entry], object]:
    writer = csv.writer(out)
    writer.writerow(["service", "number", *FIELDS, "hash"])

    def write(entry: Entry) -> None:
        cells = [_cell(entry.record.get(name)) for name in FIELDS]
        writer.writerow([entry.service, entry.number, *cells, entry.hash])

    return write


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    # A spreadsheet would take a stranger's words for a formula.
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def _given(heads: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in heads:
        name, separator, text = each.partition("=")
        if not separator:
            raise LaundryError(f"--head {each!r} is not SERVICE=NUMBER:HASH.")
        yield name, text


def _exported(file: Path) -> Iterator[tuple[str, str]]:
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            yield told["service"], told.get("head") or f"{told['number']}:{told['hash']}"
    except (ValueError, KeyError, TypeError) as error:
        raise LaundryError(f"{file} is no export of `laundry audit export` (JSON lines).") from error


def _head(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError as error:
        raise LaundryError(str(error)) from error
