"""``laundry people export|erase|erasures``: what is held of a person, and forgetting a person."""

import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.client import Caller
from laundry.commands.asking import confirmed
from laundry.commands.new_files import new_file
from laundry.display import console, visible
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

LOOK_EVERY_S = 0.5
AWAY_S = 60.0

Subject = Annotated[str, typer.Argument(help="The sub of the person's tokens.")]
Sub = Annotated[str, typer.Option(help="The operator who acts.")]


def _caller(sub: str) -> Caller:
    return Caller(stack_paths(), role="operator", branches=[], subject=sub)


def export(
    subject: Subject,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-o", dir_okay=False, help="Where to write; default: standard output."),
    ] = None,
    sub: Sub = "operator-1",
) -> None:
    """Write everything that every service holds of a person, as JSON; the audit keeps who asked."""
    with _caller(sub) as caller:
        body = caller.content("POST", "operations", "/people/export", json={"person": subject})
    if file is None:
        typer.echo(body.decode(), nl=False)
        return
    with new_file(file) as out:
        out.write(body.decode())
    console.print(f"[green]✓[/green] {file}: {len(body):,} bytes", soft_wrap=True)


def erase(
    subject: Subject,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why; kept in the audit, so name nobody.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until every service has confirmed.")] = False,
    sub: Sub = "operator-1",
) -> None:
    """Have a person forgotten by every service. It cannot be taken back."""
    if not yes and not confirmed(f"Forget {subject} in every service? This cannot be taken back"):
        console.print("Nobody was forgotten.")
        raise typer.Exit(1)
    body = {"person": subject, "confirm": "erase", **({"reason": reason} if reason else {})}
    with _caller(sub) as caller:
        erasure = caller.call("POST", "operations", "/people/erasures", json=body)
        typer.echo(f"{erasure['id']} is {erasure['state']}")
        if wait:
            erasure = _followed(caller, erasure)
            _print([erasure])
            if not _rows(erasure):
                console.print(
                    f"[yellow]![/yellow] No service held anything of {escape(subject)}. A sub is compared "
                    "letter by letter: is it written as in the person's tokens?"
                )


def erasures(sub: Sub = "operator-1") -> None:
    """List the erasures: what each waits for, and what was erased."""
    with _caller(sub) as caller:
        found = caller.call("GET", "operations", "/people/erasures")["items"]
    if not found:
        typer.echo("Nobody asked to be forgotten.")
        return
    _print(found)


def _followed(caller: Caller, erasure: dict[str, Any]) -> dict[str, Any]:
    heard_at = time.monotonic()
    while erasure["state"] == "running":
        time.sleep(LOOK_EVERY_S)
        try:
            erasure = caller.call("GET", "operations", f"/people/erasures/{erasure['id']}")
        except httpx.TransportError:
            if time.monotonic() - heard_at > AWAY_S:
                raise
            continue
        if time.monotonic() - heard_at > AWAY_S:
            missing = ", ".join(erasure["waiting_for"])
            raise LaundryError(
                f"{missing} did not confirm yet; whoever is away does so later. See: laundry people erasures"
            )
    return erasure


def _print(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("erasure", no_wrap=True, min_width=36)
    for column in ("state", "asked", "waits for", "rows erased"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(
            each["id"],
            each["state"],
            each["requested_at"][:16].replace("T", " "),
            visible(_waits_for(each)),
            f"{_rows(each):,}",
        )
    Console().print(table)


def _rows(erasure: dict[str, Any]) -> int:
    return sum(number for part in erasure["parts"] for number in part["rows"].values())


def _waits_for(erasure: dict[str, Any]) -> str:
    if erasure["state"] == "completed":
        return "-"
    if erasure["waiting_for"]:
        return ", ".join(erasure["waiting_for"])
    if erasure["dead_letters"]:
        return f"{erasure['dead_letters']} dead letters that name the person"
    return "tokens and messages of before"
