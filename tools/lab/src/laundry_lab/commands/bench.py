"""``laundry bench``: the figures of the design, measured here and now."""

import asyncio
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from laundry.commands.running import RunningStack
from laundry.management import target
from laundry.paths import PROJECT
from laundry_lab.bench import (
    alerts,
    bursts,
    consuming,
    levelling,
    memory,
    outage,
    outbox,
    publishing,
    readings,
    retries,
    signing_in,
    storage,
    telemetry,
    tracing,
    tripgen,
    uploads,
)
from laundry_lab.bench.figures import Report, show
from laundry_lab.bench.stage import Measure, NotMeasured, Stage
from laundry_lab.commands.measuring import bars, measured_stack, selected
from laundry_lab.report import machine
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
LONGEST_S = 300.0
PAUSE_S = 2.0

MEASURES: dict[str, Measure] = {
    "memory": memory.measure,
    "sign-in": signing_in.measure,
    "publish": publishing.measure,
    "consume": consuming.measure,
    "outbox": outbox.measure,
    "outage": outage.measure,
    "retries": retries.measure,
    "tripgen": tripgen.measure,
    "bursts": bursts.measure,
    "faults": alerts.measure,
    "storage": storage.measure,
    "telemetry": telemetry.measure,
    "tracing": tracing.measure,
    "uploads": uploads.measure,
    "readings": readings.measure,
    "levelling": levelling.measure,
}


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(MEASURES)}; may be repeated. Default: all.")
    ] = None,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 1 or 3.")] = 1,
    scale: Annotated[
        float, typer.Option(min=0.01, max=10, help="Share of the repetitions; targets are for 1.")
    ] = 1.0,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = PROJECT
    / "build"
    / "bench.json",
) -> None:
    """Measure the figures on the running stack, or on one that is started for it.

    Exit status 0 if everything could be measured, whether or not it reached its target.
    """
    # "retries" was called "ladder" once.
    chosen = selected(["retries" if name == "ladder" else name for name in only or ()], list(MEASURES))
    report = Report(surroundings={**machine(), "scale": scale})
    with measured_stack(nodes) as stack:
        report.surroundings["nodes"] = len(stack.document["amqp_urls"])
        try:
            asyncio.run(_run(stack, chosen, scale, report))
        finally:
            if report.figures or report.failures:
                report.write(output)
                show(report, out)
                out.print(f"written to {output}")
    raise typer.Exit(int(bool(report.failures)))


async def _run(stack: RunningStack, chosen: list[str], scale: float, report: Report) -> None:
    with bars() as say:
        identity = LocalIdentity(stack.paths.identity)
        stage = Stage(stack.paths, stack.document, identity, say, target(), scale=scale)
        for name in chosen:
            # Leftover work of one measurement must not affect the next.
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
