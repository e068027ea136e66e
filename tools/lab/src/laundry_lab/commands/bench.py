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
from laundry.paths import PROJECT, stack_paths
from laundry.stack import state
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
from laundry_lab.bench.beside import Beside, checked_out, commit_of, measured
from laundry_lab.bench.figures import Report, show
from laundry_lab.bench.scale import measure as scaling
from laundry_lab.bench.scale.measure import SCALE
from laundry_lab.bench.stage import Measure, NotMeasured, Stage
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars, measured_stack, own_stack, selected
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.report import machine
from laundry_lab.sender import SEND_ERRORS
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
LONGEST_S = 300.0
STACK_S = 300.0
ROUNDS = 2
PAUSE_S = 2.0
LARGEST = 6

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


def bench(  # noqa: PLR0917 - options of a command
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(MEASURES)}; may be repeated. Default: all these. Or {SCALE}: how "
            f"everything grows with the data, on a stack of its own ({', '.join(scaling.parts(LARGEST))})."
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="RabbitMQ nodes, if the stack is started here: 1, or 3. Default: 1.")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(min=0.01, max=10, help="Share of the repetitions; targets are for 1."),
    ] = 1.0,
    largest: Annotated[
        int | None,
        typer.Option(
            min=4,
            max=7,
            help=f"The largest step of {SCALE}: 10 to this power rows. Default: 6. 7 takes an hour, tasks "
            "11 minutes.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="Measure this commit too, by turns with the working tree, each on stacks of its own: old "
            "and new side by side.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=10, help="How often each is measured with --against. Default: 2.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = PROJECT
    / "build"
    / "bench.json",
) -> None:
    """Measure the figures on the running stack, or on one that is started for it.

    Exit status 0 if everything could be measured, whether or not it reached its target.
    """
    names = ["retries" if name == "ladder" else name for name in only or ()]
    by_itself = any(name.startswith(SCALE) for name in names)
    _check_options(by_itself, nodes, largest)
    largest = LARGEST if largest is None else largest
    known = scaling.parts(largest) if by_itself else MEASURES
    # "scale" is all of its parts; "retries" was called "ladder" once.
    chosen = selected([] if names == [SCALE] else names, list(known))
    report = Report(surroundings={**machine(), "scale": scale})
    if by_itself:
        report.surroundings["largest"] = largest
    if rounds is not None and against is None:
        raise typer.BadParameter("--rounds applies only with --against.")
    if against is not None:
        options = [part for name in chosen for part in ("--only", name)] + ["--scale", str(scale)]
        options += [] if nodes is None else ["--nodes", str(nodes)]
        options += ["--largest", str(largest)] if by_itself else []
        each_s = (LONGEST_STEPS_S if by_itself else longest_of(scale)) * len(chosen) + STACK_S
        _beside(commit_of(against), rounds or ROUNDS, options, each_s, output)
        return
    with alone("laundry bench"):
        ready_for(output)
        with (
            own_stack(scaling.SETTINGS)
            if by_itself
            else measured_stack(1 if nodes is None else nodes) as stack
        ):
            report.surroundings["nodes"] = len(stack.document["amqp_urls"])
            longest_s = LONGEST_STEPS_S if by_itself else longest_of(scale)
            try:
                asyncio.run(_run(stack, {name: known[name] for name in chosen}, scale, report, longest_s))
            finally:
                if report.figures or report.failures:
                    _report(report, output)
    raise typer.Exit(int(bool(report.failures)))


def _beside(commit: str, rounds: int, options: list[str], longest_s: float, output: Path) -> None:
    """Measure a commit and the working tree by turns; exit status 1 if something could not be measured."""
    if state.supervisor(stack_paths()) is not None:
        raise LaundryError(
            "A stack is running, and would take its share of both. Stop it first: laundry down"
        )
    found = Beside(commit, rounds, machine())

    def write(folder: Path) -> list[Path]:
        found.write(folder / output.name)
        return [folder / output.name]

    with alone("laundry bench --against"):
        ready_for(output)
        try:
            with checked_out(commit, out) as old:
                measured(found, old, options, longest_s=longest_s, console=out)
        finally:
            if found.pairs:
                found.show(out)
                keep(output.parent, write, out.print)
    raise typer.Exit(int(bool(found.failures)))


def _check_options(by_itself: bool, nodes: int | None, largest: int | None) -> None:
    if by_itself and nodes is not None:
        raise typer.BadParameter(f"--nodes does not apply to {SCALE}: its own stack has one.")
    if not by_itself and largest is not None:
        raise typer.BadParameter(f"--largest applies only to --only {SCALE}, or to a part of it.")


def _report(report: Report, output: Path) -> None:
    def write(folder: Path) -> list[Path]:
        report.write(folder / output.name)
        return [folder / output.name]

    show(report, out)
    keep(output.parent, write, out.print)


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
