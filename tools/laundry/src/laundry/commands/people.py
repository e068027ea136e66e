"""``laundry people`` and ``laundry branches``: who works where."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laundry.client import Caller
from laundry.commands import personal_data
from laundry.display import visible
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

people = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, invite, remove, export and erase people."
)
for command in (personal_data.export, personal_data.erase, personal_data.erasures):
    people.command()(command)
branches = typer.Typer(no_args_is_help=True, add_completion=False, help="List and add branches.")

ROLES = ("helper", "owner", "operator")
Sub = Annotated[str, typer.Option(help="The operator who acts.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on each line.")]


def operator(sub: str) -> Caller:
    """Make a caller who may do all of this."""
    return Caller(stack_paths(), role="operator", branches=[], subject=sub)


def show(items: list[dict[str, Any]], columns: list[str], *, as_json: bool) -> None:
    """Print a list as a table, or as JSON lines."""
    if as_json:
        for item in items:
            typer.echo(json.dumps(item, ensure_ascii=False))
        return
    table = Table(*columns)
    for item in items:
        table.add_row(*(visible(_cell(item[column])) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)


@people.command("list")
def list_people(
    branch: Annotated[str | None, typer.Option(help="Only who works there.")] = None,
    role: Annotated[str | None, typer.Option(help=f"One of {', '.join(ROLES)}.")] = None,
    *,
    sub: Sub = "operator-1",
    as_json: AsJson = False,
) -> None:
    """Show who works where, by name."""
    with operator(sub) as caller:
        found = list(caller.pages("identity", "/people", branch_id=branch, role=role))
    show(found, ["name", "email", "role", "branches", "joined_at", "sub"], as_json=as_json)


@people.command("invite")
def invite(
    branch: Annotated[
        list[str] | None, typer.Option(help="Where they are to work; may be repeated. An operator has none.")
    ] = None,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "helper",
    note: Annotated[str, typer.Option(help="For whom it is, to tell links apart.")] = "",
    hours: Annotated[int, typer.Option(min=1, help="How long the link works.")] = 72,
    *,
    sub: Sub = "operator-1",
    as_json: AsJson = False,
) -> None:
    """Print a link that makes one account: laundry people invite --role owner --branch gangnam-1."""
    if role not in ROLES:
        raise LaundryError(f"--role is one of {', '.join(ROLES)}, not {role!r}.")
    body = {"role": role, "branches": branch or [], "note": note, "valid_hours": hours}
    with operator(sub) as caller:
        made = caller.call("POST", "identity", "/invitations", json=body)
    if as_json:
        typer.echo(json.dumps({name: value for name, value in made.items() if name != "qr_svg"}))
        return
    typer.echo(made["link"])
    typer.echo(
        f"Works once, until {made['expires_at'][:16]} UTC. It is shown this once: send it now.", err=True
    )


@people.command("remove")
def remove(
    person: Annotated[str, typer.Argument(help="The e-mail address or the sub.")],
    branch: Annotated[
        list[str] | None, typer.Option(help="Only there; may be repeated. Without it everywhere.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit.")] = None,
    sub: Sub = "operator-1",
) -> None:
    """Take a person's right away: what they have open ends at once, their last token within minutes."""
    with operator(sub) as caller:
        found = [
            each
            for each in caller.pages("identity", "/people", q=person if "@" in person else None)
            if person.lower() in (each["sub"], each["email"])
        ]
        if not found:
            raise LaundryError(f"Nobody who works here is {person!r}. See: laundry people list")
        query = {"branch_id": branch, "reason": reason}
        caller.call(
            "DELETE",
            "identity",
            f"/people/{found[0]['sub']}",
            params={name: value for name, value in query.items() if value},
        )
    where = f"in {', '.join(branch)}" if branch else "everywhere"
    typer.echo(f"{visible(found[0]['name'])} ({found[0]['email']}) has no right {where} any more.")


@branches.command("list")
def list_branches(*, sub: Sub = "operator-1", as_json: AsJson = False) -> None:
    """List the branches of the chain."""
    with operator(sub) as caller:
        found = list(caller.pages("identity", "/branches"))
    show(found, ["id", "name_ko", "name_en"], as_json=as_json)


@branches.command("add")
def add_branch(
    branch: Annotated[str, typer.Argument(help="Its id, for ever: a-z, 0-9 and -, e.g. gangnam-1.")],
    name: Annotated[str, typer.Option("--name", help="Its name in Korean.")],
    name_en: Annotated[str | None, typer.Option(help="In English; else the Korean one.")] = None,
    sub: Sub = "operator-1",
) -> None:
    """Make a branch: laundry branches add gangnam-1 --name "강남 1호점" --name-en "Gangnam 1"."""
    body = {"id": branch, "name_ko": name, "name_en": name_en or name}
    with operator(sub) as caller:
        made = caller.call("POST", "identity", "/branches", json=body)
    typer.echo(f"{made['id']}: {visible(made['name_ko'])} / {visible(made['name_en'])}")
