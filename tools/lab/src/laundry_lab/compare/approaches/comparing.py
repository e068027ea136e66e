"""Runs the comparison: one design after another, each with servers and processes of its own."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from rich.markup import escape

from laundry.paths import PROJECT
from laundry_lab.bench.pictures import SMALL, Pictures
from laundry_lab.bench.stage import NotMeasured, Say
from laundry_lab.compare.approaches.design import Design
from laundry_lab.compare.approaches.rig import Rig, rig
from laundry_lab.compare.approaches.servers import Servers, servers
from laundry_lab.compare.approaches.trials import Result, measure, transport
from laundry_lab.compare.packages import provided, with_packages
from laundry_servers.errors import LaundryError

REQUIREMENTS = PROJECT / "tools/lab/approaches-requirements.txt"
LONGEST_S = 300.0


def longest_s(seconds: float) -> float:
    """Return how long one design may take whose steady load takes so long: it may be twice as late."""
    return LONGEST_S + 3 * seconds


async def compare(designs: Sequence[Design], seconds: float, say: Say, results: list[Result]) -> None:
    """Measure designs; results are added as they come, so that an interrupted run has a report too.

    Raises:
        LaundryError: what the comparison needs cannot be installed.
    """
    advance = say("packages, photos, a database", 1)
    packages = None
    if any(each.has_packages for each in designs):
        packages = await asyncio.to_thread(provided, REQUIREMENTS)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers(packages))
        picture = running.folder / "photo.jpg"
        picture.write_bytes((await asyncio.to_thread(Pictures, SMALL)).photo())
        advance(1)
        for design in designs:
            result = Result(design)
            results.append(result)
            await _one(design, running, picture, seconds, say=say, result=result)


async def _one(
    design: Design, running: Servers, picture: Path, seconds: float, *, say: Say, result: Result
) -> None:
    environment = with_packages(running.packages) if running.packages else os.environ

    async def before(made: Rig) -> None:
        result.figures |= await transport(made)

    try:
        async with (
            asyncio.timeout(longest_s(seconds)),
            rig(design, running, environment, picture, before=before) as made,
        ):
            await measure(made, seconds, say, result)
    except TimeoutError:
        result.failure = f"{design.name}: not done within {longest_s(seconds):.0f} s"
    except (NotMeasured, LaundryError, OSError, asyncpg.PostgresError) as error:
        result.failure = f"{design.name}: {type(error).__name__} {error}"
    if result.failure:
        # At once, and not only in the report that others have yet to be waited for.
        say(f"not measured: {escape(result.failure)}", 1)(1)
