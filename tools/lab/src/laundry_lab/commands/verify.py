"""``laundry verify``: DD-02's verification plan, pass or fail."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from laundry.display import console
from laundry.management import target
from laundry.paths import PROJECT, StackPaths
from laundry.stack import state
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars, measured_stack, selected
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.report import machine
from laundry_lab.sender import SEND_ERRORS
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
        list[str] | None, typer.Option(help=f"One of {', '.join(CHECKS)}; may be repeated. Default: all.")
    ] = None,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 3, or 1.")] = 3,
    scale: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="Share of the repetitions; the plan asks for 1."),
    ] = 1.0,
    output: Annotated[Path, typer.Option(help="Folder for verify.json and verify.png.")] = PROJECT / "build",
) -> None:
    """Run the verification plan of docs/requirements.md on three nodes: pass or fail (about 7 minutes).

    On the running stack, if there is one. Exit status 0 if everything was measured and holds.
    """
    chosen = selected(only, list(CHECKS))
    found = Verification({**machine(), "scale": scale})
    with alone("laundry verify"):
        ready_for(output / "verify.json", output / "verify.png")
        with measured_stack(nodes) as stack:
            found.surroundings["nodes"] = len(stack.document["amqp_urls"])
            if len(stack.document["amqp_urls"]) != 3:
                console.print("[yellow]The plan is about three nodes; this stack has one.[/yellow]")
            try:
                asyncio.run(_run(stack.paths, chosen, scale, found))
            finally:
                if found.outcomes or found.failures:
                    _report(found, output)
    raise typer.Exit(0 if found.passed else 1)


def _report(found: Verification, output: Path) -> None:
    def write(folder: Path) -> list[Path]:
        document, picture = folder / "verify.json", folder / "verify.png"
        found.write(document)
        draw(found, picture)
        return [document, picture]

    found.show(out)
    keep(output, write, out.print)


async def _run(paths: StackPaths, chosen: list[str], scale: float, found: Verification) -> None:
    with bars() as say:
        for name in chosen:
            # Processes that were killed have other ids now.
            document = state.running_stack(paths)
            stage = Stage(paths, document, LocalIdentity(paths.identity), say, target(), scale=scale)
            try:
                async with asyncio.timeout(LONGEST_S):
                    await CHECKS[name](stage, found)
            except* (NotMeasured, LaundryError) as group:
                found.failures += [f"{name}: {error}" for error in _single(group)]
            except* TimeoutError:
                found.failures.append(f"{name}: not done within {LONGEST_S:.0f} s")
            except* (httpx.HTTPError, *SEND_ERRORS) as group:
                found.failures += [f"{name}: {type(error).__name__} {error}" for error in _single(group)]


def _single(group: BaseExceptionGroup) -> list[BaseException]:
    """Flatten an exception group."""
    return [
        single
        for error in group.exceptions
        for single in (_single(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
