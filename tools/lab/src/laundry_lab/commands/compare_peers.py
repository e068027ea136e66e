"""``laundry compare peers``: this library, and what people would take instead, on the same work."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console

from laundry.display import ConsoleProgress, console
from laundry.paths import PROJECT
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars, selected
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.compare.peers import environment, servers
from laundry_lab.compare.peers.catalogue import PEERS, Peer
from laundry_lab.compare.peers.measuring import MEASURES, Size
from laundry_lab.compare.peers.picture import draw
from laundry_lab.compare.peers.results import Comparison
from laundry_lab.compare.peers.running import run
from laundry_lab.report import machine
from laundry_servers.errors import LaundryError

out = Console(highlight=False)
INTERRUPTED = 130
NAME = "compare-peers"


def peers(  # noqa: PLR0917 - options of a command
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A peer ({', '.join(PEERS)}) or a measure ({', '.join(MEASURES)}); may be repeated."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How often each peer has its turn.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, max=60, help="Of the steady 200 tasks a second.")] = 4,
    tasks: Annotated[int, typer.Option(min=100, max=100_000, help="That wait when workers start.")] = 1500,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes: 1 or 3.")] = 3,
    output: Annotated[Path, typer.Option(help=f"Folder for {NAME}.json and {NAME}.png.")] = PROJECT / "build",
) -> None:
    """Compare the library with FastStream alone, Celery, Dramatiq, taskiq and procrastinate.

    Each has the same task of 1 KB done by two processes with ten under way each (Celery: by eight with one
    each), its effect a row in PostgreSQL: how fast tasks are accepted and done, how late at 200 a second, and
    what a kill -9 of a worker (child) or of all of them (group) loses and doubles. Brokers and a database are
    started for it and removed again. Exit status 0 if everything could be measured, 130 after Ctrl-C, which
    reports what there is.
    """
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    asked = selected(only, [*PEERS, *MEASURES])
    chosen = [PEERS[name] for name in asked if name in PEERS] if only else []
    chosen = chosen or list(PEERS.values())
    measures = [name for name in asked if name in MEASURES] or list(MEASURES)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with alone("laundry compare peers"):
        ready_for(output / f"{NAME}.json", output / f"{NAME}.png")
        found = _measured(chosen, measures, nodes, rounds, Size(tasks, seconds))
        if found.rounds or found.failures:
            _report(found, output)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(int(bool(found.failures)))


def _report(found: Comparison, output: Path) -> None:
    def write(folder: Path) -> list[Path]:
        document, picture = folder / f"{NAME}.json", folder / f"{NAME}.png"
        found.write(document)
        draw(found, picture)
        return [document, picture]

    found.show(out)
    keep(output, write, out.print)


def _measured(
    chosen: Sequence[Peer], measures: Sequence[str], nodes: int, rounds: int, size: Size
) -> Comparison:
    titles = {peer.name: peer.title for peer in chosen}
    found = Comparison(titles, {**machine(), "tasks": size.tasks, "seconds": size.seconds})
    progress = ConsoleProgress()
    try:
        if any(peer.package for peer in chosen):
            environment.ensure(progress)
        with servers.started(nodes, progress) as there, bars() as say:
            progress.close()
            found.surroundings["nodes"] = there.nodes
            work = run(there, chosen, measures, rounds=rounds, size=size, found=found, say=say)
            asyncio.run(_until_interrupted(work, found))
    finally:
        progress.close()
    return found


async def _until_interrupted(work: Coroutine[Any, Any, None], found: Comparison) -> None:
    """Run to the end, or until Ctrl-C or SIGTERM: what was measured until then counts."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()

    def interrupted() -> None:
        console.print("Ending: what runs is stopped, what was measured is reported.")
        found.interrupted = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    with suppress(asyncio.CancelledError):
        await task
