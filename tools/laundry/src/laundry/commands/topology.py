"""``laundry topology``: the broker's plan, shown, applied and compared."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laundry import management
from laundry.commands.audited import audited
from laundry.display import console
from laundry.paths import stack_paths
from laundry_events import broker_plan
from laundry_events.definitions import definitions
from laundry_events.topology import MIB, PLAN
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
        help="http://user:password@host:port of another broker than the local stack's.",
        show_default=False,
    ),
]


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="As a RabbitMQ definitions document.")] = False,
) -> None:
    """Show the plan: every queue with its retries, dead letters, who publishes and who consumes."""
    if as_json:
        typer.echo(json.dumps(definitions(), indent=2))
        return
    out = Console()
    exchanges = Table("exchange", "purpose", title="Exchanges", title_justify="left")
    for exchange in PLAN.exchanges:
        exchanges.add_row(exchange.name, exchange.purpose)
    out.print(exchanges)
    queues = Table(
        "queue",
        "kind",
        "bound to",
        "retries",
        "dead letters",
        "at most",
        "dead letters at most",
        title="Queues",
        title_justify="left",
    )
    for queue in PLAN.queues:
        queues.add_row(
            queue.name,
            queue.kind,
            f"{queue.exchange}: {', '.join(queue.keys)}",
            ", ".join(f"{delay // 1000} s" for _, delay in queue.retries) or "-",
            queue.dead or "-",
            f"{queue.max_length:,}, {queue.max_bytes // MIB:,} MiB"
            if queue.dead
            else f"{queue.max_bytes // MIB:,} MiB",
            f"{queue.dead_max_bytes // MIB:,} MiB{', then the oldest go' if queue.strangers else ''}"
            if queue.dead
            else "-",
        )
    out.print(queues)
    people = Table("service", "publishes", "consumes", title="Who may do what", title_justify="left")
    for service in PLAN.services:
        consumed = ", ".join(queue.name for queue in PLAN.consumed_by(service.name))
        people.add_row(service.name, ", ".join(service.publishes) or "-", consumed or "-")
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
) -> None:
    """Declare everything that is missing and bring policies and permissions to the plan."""
    target = management.target(management_url)
    known: dict[str, str] | None
    if passwords is not None:
        known = json.loads(passwords.read_text())
    else:
        known = None if management_url else (read_json(stack_paths().secrets_file) or {}).get("broker")
    nodes = len(_nodes(target))
    with audited("topology.apply", target.management_url, on_stack=management_url is None, users=bool(known)):
        broker_plan.apply(target, known, nodes=nodes)
    users = "with the services' users" if known else "without users: give --passwords to make them"
    console.print(f"[green]✓[/green] applied to {target.management_url} ({nodes} nodes), {users}")


@app.command()
def verify(management_url: BrokerOption = None) -> None:
    """Compare the broker with the plan; exit status 1 and a list when they differ."""
    target = management.target(management_url)
    found = broker_plan.differences(target)
    for difference in found:
        typer.echo(difference)
    if found:
        raise LaundryError(f"{len(found)} differences. Bring the broker to the plan: laundry topology apply")
    console.print(f"[green]✓[/green] {target.management_url} agrees with the plan")


def _nodes(target: broker_plan.Target) -> list[Any]:
    with target.client() as client:
        answer = client.get("/api/nodes")
        if answer.status_code == 401:
            raise LaundryError(f"{target.management_url} refuses the user {target.username}.")
        answer.raise_for_status()
        found: list[Any] = answer.json()
        return found
