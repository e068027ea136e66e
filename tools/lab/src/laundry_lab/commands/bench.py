"""``laundry bench``: the figures of the design, measured here and now."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import asyncpg
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
    upload_stages,
    uploads,
)
from laundry_lab.bench.figures import Report, show
from laundry_lab.bench.scale import measure as scaling
from laundry_lab.bench.scale.measure import SCALE
from laundry_lab.bench.stage import Measure, NotMeasured, Stage
from laundry_lab.commands.measuring import bars, measured_stack, own_stack, selected
from laundry_lab.report import machine
from laundry_lab.sender import SEND_ERRORS
from laundry_servers.errors import LaundryError
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
    "upload-stages": upload_stages.measure,
    "readings": readings.measure,
    "levelling": levelling.measure,
}
LONGEST_STEPS_S = 3600.0
"""For a part of ``scale``, which fills databases of a stack of its own: it is measured when it is named."""


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(MEASURES)}; may be repeated. Default: all these. Or {SCALE}: how "
            f"everything grows with the data, on a stack of its own ({', '.join(scaling.parts(6))})."
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 1 or 3.")] = 1,
    scale: Annotated[
        float, typer.Option(min=0.01, max=10, help="Share of the repetitions; targets are for 1.")
    ] = 1.0,
    largest: Annotated[
        int,
        typer.Option(
            min=4,
            max=7,
            help=f"The largest step of {SCALE}: 10 to this power rows. 7 takes an hour, tasks 11 minutes.",
        ),
    ] = 6,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = PROJECT
    / "build"
    / "bench.json",
) -> None:
    """Measure the figures on the running stack, or on one that is started for it.

    Exit status 0 if everything could be measured, whether or not it reached its target.
    """
    names = ["retries" if name == "ladder" else name for name in only or ()]
    alone = any(name.startswith(SCALE) for name in names)
    known = scaling.parts(largest) if alone else MEASURES
    # "scale" is all of its parts; "retries" was called "ladder" once.
    chosen = selected([] if names == [SCALE] else names, list(known))
    report = Report(surroundings={**machine(), "scale": scale})
    if alone:
        report.surroundings["largest"] = largest
    with own_stack(scaling.SETTINGS) if alone else measured_stack(nodes) as stack:
        report.surroundings["nodes"] = len(stack.document["amqp_urls"])
        longest_s = LONGEST_STEPS_S if alone else longest_of(scale)
        try:
            asyncio.run(_run(stack, {name: known[name] for name in chosen}, scale, report, longest_s))
        finally:
            if report.figures or report.failures:
                report.write(output)
                show(report, out)
                out.print(f"written to {output}")
    raise typer.Exit(int(bool(report.failures)))


def longest_of(scale: float) -> float:
    """Return how many seconds a measure may take of which so much is done."""
    return LONGEST_S * max(1.0, scale)


async def _run(
    stack: RunningStack, measures: Mapping[str, Measure], scale: float, report: Report, longest_s: float
) -> None:
    with bars() as say:
        identity = LocalIdentity(stack.paths.identity)
        stage = Stage(stack.paths, stack.document, identity, say, target(), scale=scale)
        for name, measure in measures.items():
            # Leftover work of one measurement must not affect the next.
            await asyncio.sleep(PAUSE_S)
            await _one(name, measure, stage, report, longest_s)


async def _one(name: str, measure: Measure, stage: Stage, report: Report, longest_s: float) -> None:
    try:
        async with asyncio.timeout(longest_s):
            report.figures += await measure(stage)
    except (NotMeasured, LaundryError) as error:
        report.failures.append(str(error))
    except TimeoutError:
        report.failures.append(f"{name}: not done within {longest_s:.0f} s")
    except (httpx.HTTPError, *SEND_ERRORS, asyncpg.PostgresError, ExceptionGroup) as error:
        report.failures.append(f"{name}: {type(error).__name__} {error}")
