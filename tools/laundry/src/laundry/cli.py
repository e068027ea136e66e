"""The ``laundry`` command."""

import importlib
import sys
from typing import Any

import httpx
import typer
from click.exceptions import Abort

from laundry.commands import deploy, equipment, photos, restart, stack, tokens
from laundry.display import fail
from laundry.errors import LaundryError

INTERRUPTED = 130
STACK, USE, BROKER, DEPLOY = "The stack", "Using it", "The broker", "Containers and clusters"
# Loaded only when used: importing the event library takes a second, and most commands need none of it.
LATE = {
    "demo": ("laundry.commands.demo", "demo", USE),
    "learn": ("laundry.commands.learn", "learn", USE),
    "models": ("laundry.commands.models", "app", USE),
    "runs": ("laundry.commands.runs", "app", USE),
    "verify": ("laundry.commands.verify", "verify", USE),
    "faults": ("laundry.commands.faults", "faults", USE),
    "bench": ("laundry.commands.bench", "bench", USE),
    "topology": ("laundry.commands.topology", "app", BROKER),
    "audit": ("laundry.commands.audit", "app", USE),
    "dlq": ("laundry.commands.dead_letters", "app", BROKER),
}


class _Group(typer.core.TyperGroup):
    """Shows errors a person can act on as a message, and Ctrl-C as what it is."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *LATE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in LATE:
            return super().get_command(ctx, cmd_name)
        module, attribute, panel = LATE[cmd_name]
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command()(found)
            found = single
        command: Any = typer.main.get_command(found)
        command.name, command.rich_help_panel = cmd_name, panel
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LaundryError as error:
            fail(str(error))
        except httpx.TransportError as error:
            fail(f"No answer from {_address(error)} ({type(error).__name__}). See: laundry status")
        except (KeyboardInterrupt, Abort):
            fail("Interrupted.")
            sys.exit(INTERRUPTED)
        sys.exit(1)


def _address(error: httpx.TransportError) -> str:
    try:
        return str(error.request.url)
    except RuntimeError:
        return "the server"


app = typer.Typer(
    name="laundry",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Smart Fitness Laundry on this machine: start it, look at it, use it.",
)
app.command(rich_help_panel=STACK)(stack.up)
app.command(rich_help_panel=STACK)(stack.down)
app.command(rich_help_panel=STACK)(stack.status)
app.command(rich_help_panel=STACK)(restart.restart)
app.command(rich_help_panel=STACK)(stack.prepare)
app.add_typer(tokens.app, name="token", rich_help_panel=USE)
app.command(rich_help_panel=USE)(photos.upload)
app.command(rich_help_panel=USE)(equipment.fault)
app.command("compose-env", rich_help_panel=DEPLOY)(deploy.compose_env)
app.command("check-deploy", rich_help_panel=DEPLOY)(deploy.check_deploy)

if __name__ == "__main__":
    app()
