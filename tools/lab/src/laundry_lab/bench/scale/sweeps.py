"""How long the periodic tasks of a service take, as its own metric tells."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from laundry_lab.bench.scale.growth import Growth, Reading
from laundry_lab.bench.stage import Stage

METRIC = "laundry_periodic_seconds"
WITHIN_S = 300.0
ROUNDS = 3
POLL_S = 0.5


class Runs(NamedTuple):
    """How often a periodic task has run, and for how many seconds altogether."""

    number: float = 0
    seconds: float = 0


async def runs_of(stage: Stage, service: str) -> dict[str, Runs]:
    """Return the runs of a service's periodic tasks until now."""
    values: dict[tuple[str, str], float] = defaultdict(float)
    async with httpx.AsyncClient(timeout=10) as client:
        for url in stage.metrics_urls(service):
            text = (await client.get(url)).raise_for_status().text
            for family in text_string_to_metric_families(text):
                for sample in family.samples if family.name == METRIC else ():
                    if sample.name.endswith(("_count", "_sum")):
                        values[sample.labels["task"], sample.name.removeprefix(METRIC)] += sample.value
    return {task: Runs(values[task, "_count"], values[task, "_sum"]) for task, _ in values}


async def swept(
    stage: Stage,
    service: str,
    tasks: Sequence[str],
    rows: int,
    *,
    since: dict[str, Runs],
    idle_growth: Growth = "page",
) -> list[Reading]:
    """Wait until each task has run a few times more; returns how long it took at rest, and all of it before.

    Args:
        since: the runs before the tables were filled.
        idle_growth: how the time at rest may grow.

    Raises:
        TimeoutError: one has not, within five minutes.
    """
    begun = await runs_of(stage, service)
    async with asyncio.timeout(WITHIN_S):
        # The first may have begun while there was something to do.
        first = await _after(stage, service, tasks, begun)
        last = await _after(stage, service, tasks, first, ROUNDS)
    found = []
    for task in tasks:
        idle = (last[task].seconds - first[task].seconds) / (last[task].number - first[task].number)
        before = since.get(task, Runs())
        busy = first[task].seconds - before.seconds - idle * (first[task].number - before.number)
        found.append(Reading(f"{service}: {task}, nothing to do", idle_growth, rows, 1000 * idle))
        found.append(Reading(f"{service}: {task}, all that was due", "linear", rows, 1000 * max(busy, 0)))
    return found


async def _after(
    stage: Stage, service: str, tasks: Sequence[str], before: dict[str, Runs], rounds: int = 1
) -> dict[str, Runs]:
    """Wait for further runs of each task."""
    while True:
        now = await runs_of(stage, service)
        if all(now.get(task, Runs()).number >= before.get(task, Runs()).number + rounds for task in tasks):
            return now
        await asyncio.sleep(POLL_S)
