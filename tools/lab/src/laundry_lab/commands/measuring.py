"""What the lab's commands share: which measures were asked for, a stack to measure on, progress bars."""

import logging
import math
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laundry.commands.running import RunningStack, running_stack
from laundry.display import console
from laundry.stack import state
from laundry.stack.restart import restart
from laundry_catalogue import copies_of
from laundry_lab.bench.stage import Advance, Say
from laundry_servers.errors import LaundryError

VAR_DIR = "LAUNDRY_VAR_DIR"


def selected(only: Collection[str] | None, known: Collection[str]) -> list[str]:
    """Return the measures that ``--only`` names, in the order of ``known``; without it all.

    Raises:
        LaundryError: one of them is not known.
    """
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        raise LaundryError(f"--only is one of {', '.join(known)}, not {', '.join(unknown)}.")
    return [name for name in known if not only or name in only]


def finite(value: float | None) -> float | None:
    """Refuse an option without end: no upper bound keeps it out."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to measure with.")
    return value


@contextmanager
def measured_stack(nodes: int) -> Iterator[RunningStack]:
    """Use the running stack, or start one for the block; the clients of the measurement log warnings only."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with running_stack(nodes=nodes) as stack:
        yield stack


@contextmanager
def own_stack(settings: Mapping[str, Mapping[str, str]]) -> Iterator[RunningStack]:
    """Start a stack in a folder of its own, with settings of some processes; both go with the block."""
    with tempfile.TemporaryDirectory(prefix="laundry-bench-") as folder:
        # PostgreSQL does not run as root, and reads from here.
        Path(folder).chmod(0o755)
        before = os.environ.get(VAR_DIR)
        os.environ[VAR_DIR] = folder
        try:
            with measured_stack(1) as stack:
                for kind, changed in settings.items():
                    for name in copies_of(kind):
                        restart(stack.paths, name, dict(changed))
                yield replace(stack, document=state.running_stack(stack.paths))
        finally:
            if before is None:
                del os.environ[VAR_DIR]
            else:
                os.environ[VAR_DIR] = before


@contextmanager
def bars() -> Iterator[Say]:
    """Show one bar after another; without a terminal, a line when each begins."""
    columns = (TextColumn("  {task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def say(title: str, total: float) -> Advance:
            if not console.is_terminal:
                console.print(f"  {time.monotonic() - began:6.1f} s  {title}")
            task = progress.add_task(title, total=total)
            return lambda steps: progress.advance(task, steps)

        yield say
