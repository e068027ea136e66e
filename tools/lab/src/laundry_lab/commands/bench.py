"""``laundry bench``: the figures of the design, measured here and now."""

import asyncio
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laundry.display import ConsoleProgress, console
from laundry.management import target
from laundry.paths import PROJECT, StackPaths, stack_paths
from laundry.stack import detached, state
from laundry.stack.launch import Options
from laundry_lab.bench import (
    alerts,
    bursts,
    consuming,
    ladder,
    levelling,
    memory,
    outage,
    outbox,
    publishing,
    readings,
    tripgen,
    uploads,
)
from laundry_lab.bench.figures import Report, machine, show
from laundry_lab.bench.stage import Advance, Measure, NotMeasured, Say, Stage
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
LONGEST_S = 300.0
PAUSE_S = 2.0

MEASURES: dict[str, Measure] = {
    "memory": memory.measure,
    "publish": publishing.measure,
    "consume": consuming.measure,
    "outbox": outbox.measure,
    "outage": outage.measure,
    "ladder": ladder.measure,
    "tripgen": tripgen.measure,
    "bursts": bursts.measure,
    "faults": alerts.measure,
    "uploads": uploads.measure,
    "readings": readings.measure,
    "levelling": levelling.measure,
}


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(MEASURES)}; may repeat. Default: all.")
    ] = None,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 1 or 3.")] = 1,
    scale: Annotated[
        float, typer.Option(min=0.01, max=10, help="Part of the repetitions; 1 is what targets are for.")
    ] = 1.0,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = PROJECT
    / "build"
    / "bench.json",
) -> None:
    """Measure the figures on the running stack, or on one that is started for it.

    Exit status 0 if everything could be measured, whether or not it reached its target.
    """
    chosen = only or list(MEASURES)
    unknown = sorted(set(chosen) - set(MEASURES))
    if unknown:
        raise LaundryError(f"--only is one of {', '.join(MEASURES)}, not {', '.join(unknown)}.")
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    paths = stack_paths()
    started_here = state.supervisor(paths) is None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    report = Report(surroundings=machine())
    try:
        document = running_or_started(paths, nodes, started_here)
        report.surroundings["nodes"] = len(document["amqp_urls"])
        report.surroundings["scale"] = scale
        asyncio.run(_run(paths, document, chosen, scale, report))
    finally:
        if report.figures or report.failures:
            report.write(output)
            show(report, out)
            out.print(f"written to {output}")
        if started_here:
            stop()
    raise typer.Exit(int(bool(report.failures)))


def running_or_started(paths: StackPaths, nodes: int, started_here: bool) -> dict[str, Any]:
    """Return the content of stack.json of the stack that runs, or of one started now."""
    if not started_here:
        console.print("Measuring on the stack that runs already.")
        return state.running_stack(paths)
    progress = ConsoleProgress()
    try:
        return detached.start(paths, Options(nodes=nodes, servers=Kind.AUTO), progress)
    finally:
        progress.close()


def stop() -> None:
    """Stop the stack."""
    from laundry.commands.stack import down  # noqa: PLC0415 - the commands import each other nowhere else

    down(wipe=False)


async def _run(
    paths: StackPaths, document: dict[str, Any], chosen: list[str], scale: float, report: Report
) -> None:
    with bars() as say:
        identity = LocalIdentity(paths.identity)
        stage = Stage(paths, document, identity, say, target(), scale=scale)
        for name in MEASURES:
            if name not in chosen:
                continue
            # What the one before left to do should not be measured with the next.
            await asyncio.sleep(PAUSE_S)
            await _one(name, stage, report)


async def _one(name: str, stage: Stage, report: Report) -> None:
    try:
        async with asyncio.timeout(LONGEST_S):
            report.figures += await MEASURES[name](stage)
    except NotMeasured as error:
        report.failures.append(str(error))
    except TimeoutError:
        report.failures.append(f"{name}: not done within {LONGEST_S:.0f} s")
    except (httpx.HTTPError, OSError, ExceptionGroup) as error:
        report.failures.append(f"{name}: {type(error).__name__} {error}")


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
