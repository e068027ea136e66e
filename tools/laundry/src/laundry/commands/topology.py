"""``laundry topology``: the broker's plan, shown, applied and compared."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from laundry import management
from laundry.commands.audited import audited
from laundry.commands.dead_letter_options import AmqpUrl
from laundry.display import ConsoleProgress, console
from laundry.paths import stack_paths
from laundry.topology import recreating, tables
from laundry_events import broker_plan
from laundry_events.definitions import definitions
from laundry_events.surplus import remove_surplus
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Exchanges, queues, policies and permissions, from the one plan.",
)
BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--management-url",
        help="http://user:password@host:port of another broker than the local stack's "
        f"({management.VARIABLE}).",
        show_default=False,
    ),
]


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="As a RabbitMQ definitions document.")] = False,
) -> None:
    """Show the plan: what each queue holds and for how long, retries, dead letters, and who may what."""
    if as_json:
        typer.echo(json.dumps(definitions(PLAN), indent=2))
        return
    out = Console()
    exchanges = Table("exchange", "purpose", title="Exchanges", title_justify="left")
    for exchange in PLAN.exchanges:
        exchanges.add_row(exchange.name, exchange.purpose)
    out.print(exchanges)
    queues = Table(*tables.QUEUE_COLUMNS, title="Queues", title_justify="left")
    for column in queues.columns:
        column.overflow = "fold"
    queues.columns[0].no_wrap = True
    for row in tables.queue_rows(PLAN):
        queues.add_row(*row)
    out.print(queues)
    people = Table("login", "reads", "publishes", "declares", title="Rights", title_justify="left")
    for right in tables.rights(PLAN):
        people.add_row(right.login, right.reads, right.publishes, right.declares)
    out.print(people)


@app.command()
def apply(
    management_url: BrokerOption = None,
    passwords: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help='JSON {"service": "password"} for the users of another broker.'
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Remove what is empty and not in the plan without asking."),
    ] = False,
) -> None:
    """Declare everything that is missing, and update policies and permissions.

    What the plan no longer has is shown, and removed if it is empty.
    """
    target, on_stack = management.target(management_url), not management.named(management_url=management_url)
    known = _passwords(passwords, on_stack=on_stack)
    nodes = _nodes(target)
    with audited("topology.apply", target.management_url, on_stack=on_stack, users=bool(known)):
        broker_plan.apply(target, PLAN, known, nodes=nodes)
    users = "with the services' users" if known else "without users: give --passwords to make them"
    console.print(f"[green]✓[/green] applied to {target.management_url} ({nodes} nodes), {users}")
    _remove_surplus(target, yes=yes, on_stack=on_stack)


def _passwords(file: Path | None, *, on_stack: bool) -> dict[str, str] | None:
    """Return the services' passwords: those in a file, else the stack's, which are for its own broker alone.

    Raises:
        LaundryError: the file has not one for each service.
    """
    if file is None:
        kept = (read_json(stack_paths().secrets_file) or {}).get("broker") if on_stack else None
        return None if kept is None else _complete(kept, "The running stack", "Start it again: laundry up")
    remedy = 'It is JSON, {"service": "password"}, with each service of: laundry topology show'
    try:
        found = read_json(file)
    except (OSError, ValueError) as error:
        raise LaundryError(f"{file} cannot be read ({type(error).__name__} {error}). {remedy}") from error
    return _complete(found, str(file), remedy)


def _complete(found: Any, source: str, remedy: str) -> dict[str, str]:
    known = found if isinstance(found, dict) else {}
    lacking = [name for service in PLAN.services if not known.get(name := service.name)]
    wrong = [name for name, password in known.items() if not isinstance(password, str)]
    if lacking or wrong:
        raise LaundryError(f"{source} has no password for {', '.join(lacking or wrong)}. {remedy}")
    return known


def _remove_surplus(target: broker_plan.Target, *, yes: bool, on_stack: bool) -> None:
    surplus = [each for each in broker_plan.differences(target, PLAN) if each.surplus]
    if not surplus:
        return
    for each in surplus:
        console.print(f"[red]-[/red] {each}")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove what of this is empty?")):
        console.print("All of it is left. Remove what is empty: laundry topology apply --yes")
        return
    with audited("topology.remove", target.management_url, on_stack=on_stack, things=len(surplus)):
        outcome = remove_surplus(target, PLAN, surplus)
    for each, why in outcome.left:
        console.print(f"[yellow]left[/yellow] {each.kind}: {' / '.join(each.name)}: {why}")
    console.print(f"[green]✓[/green] {len(outcome.removed)} removed, {len(outcome.left)} left")


@app.command()
def plan(management_url: BrokerOption = None) -> None:
    """Show what ``apply`` would do: + is made, ~ is changed, - is not in the plan."""
    target = management.target(management_url)
    found = broker_plan.differences(target, PLAN)
    for each in found:
        sign = "-" if each.surplus else "~" if each.changes else "+"
        typer.echo(f"{sign} {each}")
    if not found:
        console.print(f"[green]✓[/green] nothing to do: {target.management_url} agrees with the plan")


@app.command()
def verify(management_url: BrokerOption = None) -> None:
    """Compare the broker with the plan; exit status 1 and a list when they differ."""
    target = management.target(management_url)
    found = broker_plan.differences(target, PLAN)
    for difference in found:
        typer.echo(str(difference))
    if found:
        raise LaundryError(f"{len(found)} differences. Bring the broker to the plan: laundry topology apply")
    console.print(f"[green]✓[/green] {target.management_url} agrees with the plan")


@app.command()
def recreate(
    queue: Annotated[str, typer.Argument(help="A queue whose arguments differ: laundry topology verify.")],
    management_url: BrokerOption = None,
    amqp_url: AmqpUrl = None,
    *,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long its consumers may take to empty it.")
    ] = 300.0,
) -> None:
    """Recreate a queue whose type or group size cannot be changed; refused if it would lose a message."""
    both = (management.VARIABLE, management.AMQP_VARIABLE)
    on_stack = not management.named(*both, management_url=management_url, amqp_url=amqp_url)
    target, urls = management.target(management_url), management.amqp_urls(amqp_url)
    progress, step = ConsoleProgress(), f"Recreating {queue}"
    progress.started(step)
    try:
        with audited("topology.recreate", queue, on_stack=on_stack):
            work = recreating.recreate(
                target, urls, PLAN, queue, seconds=seconds, note=lambda text: progress.note(step, text)
            )
            done = asyncio.run(work)
        if done is None:
            progress.finished(step, "not needed: it is as planned")
        else:
            progress.finished(step, f"{done.kept:,} messages waited beside it meanwhile")
    finally:
        progress.close()


def _nodes(target: broker_plan.Target) -> int:
    with target.client() as client:
        answer = client.get("/api/nodes")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise LaundryError(f"{target.management_url} refuses the user {target.username}.")
        return len(broker_plan.checked(answer).json())
