"""``laundry compare approaches``: DD-02's table with figures."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from laundry.display import console
from laundry.paths import PROJECT
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars, selected
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.compare.approaches import picture, report
from laundry_lab.compare.approaches.comparing import compare
from laundry_lab.compare.approaches.designs import DESIGNS
from laundry_lab.compare.approaches.trials import Result
from laundry_lab.report import machine

out = Console(highlight=False)
INTERRUPTED = 130
NAME = "compare-approaches"


def approaches(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(DESIGNS)}; may be repeated. Default: all.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=1, max=600, help="How long each gets the steady load of 60 photos a second."),
    ] = 10.0,
    output: Annotated[Path, typer.Option(help="Folder for compare-approaches.json, .md and .png.")] = PROJECT
    / "build",
) -> None:
    """Put one workload to DD-02's approaches and kill a consumer, the producer and the broker of each.

    The broker of a table is its database. The command starts servers of its own and ends them; a running
    stack is not touched. Exit status 0 if everything could be measured, 1 if not, 130 after Ctrl-C, which
    reports what there is.
    """
    chosen = [DESIGNS[name] for name in selected(only, DESIGNS)]
    results: list[Result] = []
    surroundings = {**machine(), "seconds": seconds}
    began_at = datetime.now(UTC)
    interrupted = False
    with alone("laundry compare approaches"):
        ready_for(*(output / f"{NAME}.{kind}" for kind in ("json", "md", "png")))
        try:
            with bars() as say:
                asyncio.run(compare(chosen, seconds, say, results))
        except KeyboardInterrupt:
            interrupted = True
            console.print("Ended early; what was measured until then:")
        report.show(results, surroundings, out)
        if measured := [each for each in results if each.figures]:

            def write(folder: Path) -> list[Path]:
                written = report.write(folder, measured, surroundings, began_at)
                drawn = folder / f"{NAME}.png"
                picture.draw(drawn, measured)
                return [*written, drawn]

            keep(output, write, out.print)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(int(len(results) < len(chosen) or any(each.failure for each in results)))
