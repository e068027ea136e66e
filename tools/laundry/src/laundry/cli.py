"""The ``laundry`` command: its own commands, and those that installed packages add."""

import importlib
import signal
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import typer

from laundry.commands import deploy, equipment, photos, reading, restart, stack, telemetry, tokens
from laundry.display import fail
from laundry.paths import stack_paths
from laundry_events.errors import PlanRefused
from laundry_events.refused_certificates import explained
from laundry_servers.errors import LaundryError

INTERRUPTED = 130
STACK, USE, BROKER, DEPLOY = "The stack", "Using it", "The broker", "Containers and clusters"
LAB, DEVELOP = "Measuring and breaking it", "Changing it"
# Packages that are installed beside this one add their commands under this name.
ENTRY_POINTS = "laundry.commands"
# Where the lab is not installed, its commands say so.
LAB_COMMANDS = ("bench", "compare", "faults", "load", "verify")
INSTALL_LAB = "Install it beside this command, from the repository: pip install -e tools/lab"
# Loaded only when used: importing the event library takes a second, and most commands need none of it.
LATE = {
    "demo": ("laundry.commands.demo", "demo", USE),
    "learn": ("laundry.commands.learn", "learn", USE),
    "models": ("laundry.commands.models", "app", USE),
    "people": ("laundry.commands.people", "people", USE),
    "branches": ("laundry.commands.people", "branches", USE),
    "runs": ("laundry.commands.runs", "app", USE),
    "check": ("laundry.commands.check", "app", STACK),
    "secrets": ("laundry.commands.secrets", "app", STACK),
    "backup": ("laundry.commands.backup", "app", STACK),
    "topology": ("laundry.commands.topology", "app", BROKER),
    "audit": ("laundry.commands.audit", "app", USE),
    "history": ("laundry.commands.history", "history", BROKER),
    "replay": ("laundry.commands.replay", "replay", BROKER),
    "dlq": ("laundry.commands.dead_letters", "app", BROKER),
    "tls": ("laundry.commands.tls", "app", BROKER),
    "push-keys": ("laundry.commands.push_keys", "push_keys", DEPLOY),
    "new": ("laundry.commands.new", "app", DEVELOP),
    "release": ("laundry.commands.release", "release", DEVELOP),
}


class _Group(typer.core.TyperGroup):
    """Shows errors that a person can act on as a message, and Ctrl-C as an interruption."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *LATE, *sorted(_added())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if own := super().get_command(ctx, cmd_name):
            return own
        if cmd_name in LATE:
            module, attribute, panel = LATE[cmd_name]
            found = getattr(importlib.import_module(module), attribute)
        elif cmd_name in (added := _added()):
            panel, found = LAB, added[cmd_name].load()
        elif cmd_name in LAB_COMMANDS:
            raise LaundryError(
                f"laundry {cmd_name} is part of the lab, which is not installed here. {INSTALL_LAB}"
            )
        else:
            return None
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command()(found)
            found = single
        command: Any = typer.main.get_command(found)
        command.name, command.rich_help_panel = cmd_name, panel
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        if not _added():
            self.epilog = f"The lab, which measures and breaks the stack, is not installed. {INSTALL_LAB}"
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (LaundryError, PlanRefused) as error:
            fail(str(error))
        except httpx.TransportError as error:
            why = explained(error) or f"{type(error).__name__}. See: laundry status"
            fail(f"No answer from {_address(error)}: {why}")
        except PermissionError as error:
            fail(_refused(error))
        except (KeyboardInterrupt, typer.Abort):
            fail("Interrupted.")
            sys.exit(INTERRUPTED)
        sys.exit(1)


def _added() -> dict[str, metadata.EntryPoint]:
    return {each.name: each for each in metadata.entry_points(group=ENTRY_POINTS)}


def _refused(error: PermissionError) -> str:
    """Say whose file it is: a stack's files are readable by the user who started it only."""
    if error.filename is None:
        return f"{error.strerror}. Run this as the user who ran: laundry up"
    file, var = Path(str(error.filename)), stack_paths().var
    inside = file.is_relative_to(var)
    owner = "another user"
    with suppress(OSError, KeyError):
        owner = (var if inside else file).owner()
    if not inside:
        return f"{file}: {error.strerror}. It belongs to {owner}."
    return (
        f"{file}: {error.strerror}. This stack belongs to {owner}: run this as that user, or name a folder "
        "for a stack of your own, LAUNDRY_VAR_DIR."
    )


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
app.add_typer(telemetry.app, name="telemetry", rich_help_panel=STACK)
app.command(rich_help_panel=STACK)(stack.prepare)
app.add_typer(tokens.app, name="token", rich_help_panel=USE)
app.command(rich_help_panel=USE)(photos.upload)
app.add_typer(equipment.app, name="equipment", rich_help_panel=USE)
# Kept for scripts: the name is too close to `laundry faults`, which breaks the stack on purpose.
app.command("fault", hidden=True)(equipment.fault)
app.command("compose-env", rich_help_panel=DEPLOY)(deploy.compose_env)
app.command("check-deploy", rich_help_panel=DEPLOY)(deploy.check_deploy)
app.command("check-images", rich_help_panel=DEPLOY)(deploy.check_images)
app.command("check-reading", rich_help_panel=DEPLOY)(reading.check_reading)


def main() -> None:
    """Run the command. SIGTERM is Ctrl-C, also where this is the first process of a container."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()


if __name__ == "__main__":
    main()
