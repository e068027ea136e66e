"""``laundry check``: does a broker, does the whole stack do its work? The answer is an exit status."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry import management
from laundry.backup import system
from laundry.checks import broker as broker_check
from laundry.checks import stack as stack_check
from laundry.checks.broker import Outcome
from laundry.commands.dead_letter_options import AmqpUrl
from laundry.display import fail
from laundry.paths import stack_paths

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Checks, with exit statuses for schedules."
)
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def broker(
    amqp_url: AmqpUrl = None,
    *,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each step.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Connect, publish, receive, on each node.

    Exit status 0: all well; 3: not reached; 4: login refused; 5: publishing not confirmed; 6: not received.
    """
    urls = management.amqp_urls(amqp_url, checked=False)
    worst = Outcome.WELL
    for url in urls:
        found = asyncio.run(broker_check.check(url, timeout_s=timeout))
        where = url.rpartition("@")[2]
        if as_json:
            shown = {"broker": where, "outcome": found.outcome.name.lower(), "why": found.why}
            typer.echo(json.dumps({**shown, "seconds": found.seconds}))
        elif found.outcome is Outcome.WELL:
            took = ", ".join(f"{step} {value * 1000:.0f} ms" for step, value in found.seconds.items())
            Console().print(f"[green]✓[/green] {escape(where)}: {took}", soft_wrap=True)
        else:
            name = found.outcome.name.lower().replace("_", " ")
            fail(f"{where}: {name} (exit status {found.outcome.value}): {found.why}")
        worst = max(worst, found.outcome)
    raise typer.Exit(worst.value)


@app.command()
def stack(as_json: AsJson = False) -> None:
    """Look at processes, broker, plan, consumers, dead letters, databases and bucket.

    Exit status 1 if anything is wrong.
    """
    paths = stack_paths()
    wrong = False
    table = Table("", "what", "found", box=None, show_header=False)
    for found in stack_check.look(paths, system.running(paths)):
        wrong = wrong or bool(found.wrong)
        if as_json:
            typer.echo(json.dumps({"what": found.what, "detail": found.detail, "wrong": found.wrong}))
        sign, text = ("[red]✗[/red]", found.wrong) if found.wrong else ("[green]✓[/green]", found.detail)
        table.add_row(sign, found.what, escape(text))
    if not as_json:
        Console().print(table)
    raise typer.Exit(1 if wrong else 0)
