"""``laundry verify``: DD-02's verification plan, pass or fail."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import httpx
import structlog
import typer
from rich.console import Console

from laundry.display import console
from laundry.management import target
from laundry.paths import PROJECT, StackPaths, stack_paths
from laundry.stack import state
from laundry_lab.bench.figures import machine
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.commands.bench import bars, running_or_started, stop
from laundry_lab.verify import backlog, publishing, readings, rollout
from laundry_lab.verify.outcomes import Verification
from laundry_lab.verify.picture import draw
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
LONGEST_S = 1500.0
CHECKS: dict[str, Callable[[Stage, Verification], Awaitable[None]]] = {
    "publish": publishing.check,
    "readings": readings.check,
    "rollout": rollout.check,
    "backlog": backlog.check,
}


def verify(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(CHECKS)}; may repeat. Default: all.")
    ] = None,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 3, or 1.")] = 3,
    scale: Annotated[
        float, typer.Option(min=0.01, max=1, help="Part of the repetitions; 1 is what the plan asks.")
    ] = 1.0,
    output: Annotated[Path, typer.Option(help="Folder for verify.json and verify.png.")] = PROJECT / "build",
) -> None:
    """Verify what DD-02 §4.4.2.4 asks on the running stack, or on three nodes that are started for it.

    Takes about 10 minutes. Exit status 0 if everything was measured and holds.
    """
    chosen = only or list(CHECKS)
    unknown = sorted(set(chosen) - set(CHECKS))
    if unknown:
        raise LaundryError(f"--only is one of {', '.join(CHECKS)}, not {', '.join(unknown)}.")
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    paths = stack_paths()
    started_here = state.supervisor(paths) is None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    found = Verification({**machine(), "scale": scale})
    try:
        document = running_or_started(paths, nodes, started_here)
        found.surroundings["nodes"] = len(document["amqp_urls"])
        if len(document["amqp_urls"]) != 3:
            console.print("[yellow]The plan is about three nodes; this stack has one.[/yellow]")
        asyncio.run(_run(paths, chosen, scale, found))
    finally:
        if found.outcomes or found.failures:
            found.write(output / "verify.json")
            draw(found, output / "verify.png")
            found.show(out)
            out.print(f"written to {output / 'verify.json'} and {output / 'verify.png'}")
        if started_here:
            stop()
    raise typer.Exit(0 if found.passed else 1)


async def _run(paths: StackPaths, chosen: list[str], scale: float, found: Verification) -> None:
    with bars() as say:
        for name, check in CHECKS.items():
            if name not in chosen:
                continue
            # Processes that were killed have other ids now.
            document = state.running_stack(paths)
            stage = Stage(paths, document, LocalIdentity(paths.identity), say, target(), scale=scale)
            try:
                async with asyncio.timeout(LONGEST_S):
                    await check(stage, found)
            except* (NotMeasured, LaundryError) as group:
                found.failures += [f"{name}: {error}" for error in _single(group)]
            except* TimeoutError:
                found.failures.append(f"{name}: not done within {LONGEST_S:.0f} s")
            except* (httpx.HTTPError, OSError) as group:
                found.failures += [f"{name}: {type(error).__name__} {error}" for error in _single(group)]


def _single(group: BaseExceptionGroup) -> list[BaseException]:
    """Return the errors of a group and of the groups in it."""
    return [
        single
        for error in group.exceptions
        for single in (_single(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
