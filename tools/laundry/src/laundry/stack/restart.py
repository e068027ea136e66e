"""Restarts one service process of the running stack, as an update would."""

import os
import signal
import time
from contextlib import suppress

from laundry.paths import StackPaths
from laundry.stack import changes, report, state
from laundry_catalogue import process_names
from laundry_servers.errors import LaundryError
from laundry_servers.process import POLL_SECONDS

SETTING_PREFIXES = ("LAUNDRY_", "OTEL_")
RESTART_SECONDS = 90.0


def restart(paths: StackPaths, name: str, settings: dict[str, str] | None = None) -> int:
    """Ask a process to stop, with other settings for its successor; returns the successor's process id.

    Raises:
        LaundryError: no such process, none in this stack, a setting that no service reads, or no ready
            successor in time.
    """
    state.running_stack(paths)
    # Servers are no part of an update.
    if name not in process_names():
        raise LaundryError(f"No service process {name!r}. There are: {', '.join(process_names())}.")
    if name not in state.started(paths):
        raise state.left_out(name)
    for key in settings or {}:
        if not key.startswith(SETTING_PREFIXES):
            raise LaundryError(f"{key}: settings begin with {' or '.join(SETTING_PREFIXES)}.")
    if settings:
        changes.change(paths, name, settings)
    before = _pid_of(paths, name)
    with suppress(ProcessLookupError):
        os.kill(before, signal.SIGTERM)
    return wait_for_successor(paths, name, before)


def _pid_of(paths: StackPaths, name: str) -> int:
    """Return a process's id; one that ended by itself is being started again, which is waited for."""
    deadline = time.monotonic() + RESTART_SECONDS
    while (found := state.running_stack(paths)["pids"].get(name)) is None:
        if time.monotonic() > deadline:
            raise LaundryError(
                f"{name} has ended and was not started again within {RESTART_SECONDS:.0f} s."
                f" Its log: {paths.logs / name}.log"
            )
        time.sleep(POLL_SECONDS)
    return int(found)


def wait_for_successor(paths: StackPaths, name: str, before: int) -> int:
    """Wait until another process than the one of before does its work; returns its process id.

    Raises:
        LaundryError: it was not ready in time.
    """
    deadline = time.monotonic() + RESTART_SECONDS
    while time.monotonic() < deadline:
        found = report.look_at(paths, name)
        if found is not None and found.pid not in (None, before) and found.health == "ok":
            assert found.pid is not None
            return found.pid
        time.sleep(POLL_SECONDS)
    raise LaundryError(
        f"{name} was not ready again within {RESTART_SECONDS:.0f} s. Its log: {paths.logs / name}.log"
    )
