"""``laundry restart``: restart one process of the running stack, as an update does."""

import time
from typing import Annotated

import typer

from laundry.commands.audited import audited
from laundry.display import ConsoleProgress
from laundry.paths import stack_paths
from laundry.stack import restart as restarting
from laundry_catalogue import copies_of
from laundry_servers.errors import LaundryError


def restart(
    process: Annotated[str, typer.Argument(help="The process, for example mlops or ai-consumer-1.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting it starts with; may be repeated."),
    ] = None,
) -> None:
    """Restart one service process as an update does: it finishes its work, then its successor takes over.

    Those that share its port are restarted after it. Settings changed with --set apply until the stack stops.
    """
    changed = dict(_setting(text) for text in settings or [])
    progress, began = ConsoleProgress(), time.monotonic()
    try:
        progress.started(f"Restarting {process}")
        # Names only: a value may be a secret.
        with audited("process.restart", process, settings=sorted(changed)):
            # One after the other: meanwhile the others answer.
            pids = [restarting.restart(stack_paths(), name, changed) for name in copies_of(process)]
        progress.finished(
            f"Restarting {process}",
            f"ready as pid {' and '.join(map(str, pids))} after {time.monotonic() - began:.1f} s",
        )
    finally:
        progress.close()


def _setting(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise LaundryError(f"--set takes NAME=VALUE, not {text!r}.")
    return name, value
