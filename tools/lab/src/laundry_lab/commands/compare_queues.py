"""``laundry compare queues``: one queue for four types with filtering, beside a queue for each type."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from laundry.display import console
from laundry.paths import PROJECT
from laundry_lab.bench.stage import Say
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.compare.queues import report
from laundry_lab.compare.queues.trial import LAYOUTS, measure
from laundry_lab.report import machine, write_report
from laundry_servers import choice
from laundry_servers.progress import Quiet

out = Console(highlight=False)
INTERRUPTED = 130
NAME = "compare-queues.json"


def queues(
    seconds: Annotated[float, typer.Option(min=1, max=60, help="How long each steady load is.")] = 5.0,
    output: Annotated[Path, typer.Option(help="Folder for compare-queues.json.")] = PROJECT / "build",
) -> None:
    """Put four kinds of messages on one queue, whose consumers filter, and on a queue for each kind.

    It starts a broker of its own and ends it. Exit status 130 after Ctrl-C, which reports what there is.
    """
    began_at, surroundings = datetime.now(UTC), {**machine(), "seconds": seconds}
    with alone("laundry compare queues"):
        ready_for(output / NAME)
        found: dict[str, dict[str, float]] = {}
        interrupted = False
        try:
            with bars() as say, _broker() as address:
                asyncio.run(_all(address, seconds, say, found))
        except KeyboardInterrupt:
            interrupted = True
            console.print("Ended early; what was measured until then:")
        if found:
            _report(found, output, began_at, surroundings)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _report(
    found: dict[str, dict[str, float]], output: Path, began_at: datetime, surroundings: dict[str, Any]
) -> None:
    out.print(report.table(found))

    def write(folder: Path) -> list[Path]:
        write_report(folder / NAME, began_at, surroundings, layouts=report.layouts(found))
        return [folder / NAME]

    keep(output, write, out.print)


async def _all(address: str, seconds: float, say: Say, found: dict[str, dict[str, float]]) -> None:
    """Measure; layouts are added as they come, so that an interrupted run has a report too."""
    advance = say("one queue, or one for each kind", len(LAYOUTS))
    for layout in LAYOUTS:
        found[layout.name] = await measure(address, layout, seconds)
        advance(1)


@contextmanager
def _broker() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="laundry-compare-"))
    folder.chmod(0o755)
    try:
        server = choice.broker(choice.choose(own=True).kind, folder / "rabbitmq", Quiet())
        try:
            yield server.start().amqp_url
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
