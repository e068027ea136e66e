"""``laundry tls``: the certificates of the local stack."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laundry.commands.audited import audited
from laundry.display import console
from laundry.paths import stack_paths
from laundry.stack import certificates
from laundry_servers.authority import DAYS, Authority
from laundry_servers.errors import LaundryError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Certificates of the local stack (laundry up --tls), by an authority of its own. For learning and "
    "testing: in production your own authority issues them (cert-manager, Vault, a company's PKI).",
)
DaysOption = Annotated[int, typer.Option("--days", min=1, max=825, help="How long they are good.")]


@app.command()
def issue(
    name: Annotated[
        str, typer.Argument(help="Whose: a device, a person, a program. It becomes the common name.")
    ],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="For a server: a name or address that clients use; may repeat."),
    ] = None,
    days: DaysOption = DAYS,
) -> None:
    """Issue a certificate with a new key into one file, readable by you only.

    Without --host it is a client's: what the broker demands of services and equipment before they may log in.
    A name that exists gets a new key.
    """
    authority = Authority(stack_paths().tls)
    with audited("tls.issue", name, days=days, hosts=len(host or [])):
        path = authority.issue(name, host or [], days=days)
    typer.echo(str(path))
    console.print(f"It is trusted by whoever trusts {authority.ca_file}.")


@app.command()
def rotate(
    authority: Annotated[
        bool,
        typer.Option("--authority", help="Sign them by a new authority; the old one stays trusted."),
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Trust the new authority alone: the end of --authority.")
    ] = False,
    days: DaysOption = DAYS,
) -> None:
    """Renew every certificate, while the stack runs and under load.

    Connections stay open, and whoever connects from then on sees the new ones. Every listener is looked at
    afterwards.
    """
    if authority and finish:
        raise LaundryError("--finish comes after --authority, once everybody who is outside trusts both.")
    paths = stack_paths()
    _there(Authority(paths.tls))
    act = "tls.authority" if authority else "tls.finish" if finish else "tls.rotate"
    with audited(act, str(paths.tls)):
        seen = (
            certificates.finish(paths)
            if finish
            else certificates.rotate(paths, authority=authority, days=days)
        )
    if seen:
        console.print(f"[green]✓[/green] in force, seen at {len(seen)} listeners: {', '.join(seen)}")
    else:
        console.print("[green]✓[/green] written; nothing runs with TLS, so they count from the next start on")
    if authority:
        console.print(
            f"Two authorities are trusted now. Give {Authority(paths.tls).ca_file} and new certificates to "
            "whoever is outside, then: laundry tls rotate --finish"
        )


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show whom the stack trusts, what was issued, what the listeners show, and for how many days."""
    paths, now = stack_paths(), datetime.now(UTC)
    authority = Authority(paths.tls)
    _there(authority)
    document = certificates.running(paths)
    found: dict[str, list[dict[str, Any]]] = {
        "trusted": [
            {"name": each.subject.rfc4514_string(), "days_left": (each.not_valid_after_utc - now).days}
            for each in authority.trusted()
        ],
        "issued": [
            {
                "name": each.name,
                "hosts": list(each.hosts),
                "issuer": each.issuer,
                "days_left": (each.not_after - now).days,
                "file": str(each.path),
            }
            for each in authority.issued()
        ],
        "listeners": [
            {
                "name": each.name,
                "address": each.address,
                "days_left": (each.shown.not_valid_after_utc - now).days if each.shown else None,
                "problem": each.problem,
            }
            for each in (certificates.listeners(document) if document else [])
        ],
    }
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    out = Console()
    for title, rows in found.items():
        columns = [name for name in (rows[0] if rows else ()) if name != "file"]
        if not columns:
            continue
        table = Table(title=f"{title.capitalize()} ({paths.tls})", title_justify="left")
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right" if name == "days_left" else "left")
        for row in rows:
            table.add_row(*(_cell(row[name]) for name in columns))
        out.print(table)


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _there(authority: Authority) -> None:
    if not authority.trusted():
        raise LaundryError("There is no authority yet. Make one: laundry up --tls, or laundry tls issue NAME")
