"""``laundry compare queues``: one queue for four types with filtering, beside a queue for each type."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from laundry.paths import PROJECT
from laundry_lab.bench.stage import Say
from laundry_lab.commands.measuring import bars
from laundry_lab.compare.approaches.report import cell
from laundry_lab.compare.queues.trial import BACKLOG, LAYOUTS, STOPPED, measure
from laundry_lab.report import machine, rounded, write_report
from laundry_servers import choice
from laundry_servers.progress import Quiet

out = Console(highlight=False)

ROWS = (
    (f"a backlog of {BACKLOG}", "backlog_per_s", "/s"),
    ("deliveries of each message", "backlog_deliveries", ""),
    ("60/s: p50", "steady_p50_ms", "ms"),
    ("60/s: p99", "steady_p99_ms", "ms"),
    ("deliveries of each message", "steady_deliveries", ""),
    ("never handled", "steady_missing", ""),
    (f"60/s while nobody takes {STOPPED}: p99 of the others", "away_p99_ms", "ms"),
    ("deliveries of each message", "away_deliveries", ""),
    ("never handled, of the others", "away_missing", ""),
)


def queues(
    seconds: Annotated[float, typer.Option(min=1, max=60, help="How long each steady load is.")] = 5.0,
    output: Annotated[Path, typer.Option(help="Folder for compare-queues.json.")] = PROJECT / "build",
) -> None:
    """Put four kinds of messages on one queue, whose consumers filter, and on a queue for each kind.

    It starts a broker of its own and ends it.
    """
    began_at, surroundings = datetime.now(UTC), {**machine(), "seconds": seconds}
    with bars() as say, _broker() as address:
        found = asyncio.run(_all(address, seconds, say))
    table = Table(title="Four kinds of messages", title_justify="left")
    table.add_column("what", overflow="fold")
    for layout in LAYOUTS:
        table.add_column(layout.title, justify="right")
    for name, figure, unit in ROWS:
        table.add_row(name, *(cell(found[layout.name].get(figure), unit) for layout in LAYOUTS))
    out.print(table)
    path = output / "compare-queues.json"
    write_report(
        path,
        began_at,
        surroundings,
        layouts={name: {k: rounded(v) for k, v in figures.items()} for name, figures in found.items()},
    )
    out.print(f"written to {path}")


async def _all(address: str, seconds: float, say: Say) -> dict[str, dict[str, float]]:
    advance = say("one queue, or one for each kind", len(LAYOUTS))
    found = {}
    for layout in LAYOUTS:
        found[layout.name] = await measure(address, layout, seconds)
        advance(1)
    return found


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
