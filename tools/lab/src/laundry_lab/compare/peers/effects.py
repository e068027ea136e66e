"""The effects of tasks as PostgreSQL has them, and what follows: rates, latencies, lost and doubled."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from laundry_lab.report import percentile

READ = """
SELECT number, due, worker, extract(epoch FROM
    CASE WHEN current_setting('track_commit_timestamp')::bool THEN pg_xact_commit_timestamp(xmin) ELSE at END
)::double precision AS at
FROM effects WHERE number BETWEEN $1 AND $2 ORDER BY 4
"""
PROGRESS = (
    "SELECT count(*) AS rows, count(DISTINCT number) AS had FROM effects WHERE number BETWEEN $1 AND $2"
)
LATEST = "SELECT worker FROM effects ORDER BY at DESC LIMIT 1"
MIDDLE = (0.1, 0.9)
"""A rate is that between these shares of the effects: neither start nor end of the workers counts."""


@dataclass(frozen=True)
class Effect:
    """One effect: whose, when it was due and when it was committed (s since 1970), and the process."""

    number: int
    due: float
    worker: int
    at: float


def rate(at: Sequence[float]) -> float:
    """Return effects a second, from the moments of all in order. Raises ValueError if there are few."""
    first, last = (round(share * (len(at) - 1)) for share in MIDDLE)
    if last <= first or at[last] <= at[first]:
        raise ValueError(f"{len(at)} effects tell no rate")
    return (last - first) / (at[last] - at[first])


def latencies(effects: Collection[Effect], accepted: Collection[int]) -> list[float]:
    """Return the seconds from due to the first effect of each accepted task; infinite for one without."""
    first: dict[int, float] = {}
    for effect in effects:
        first[effect.number] = min(effect.at - effect.due, first.get(effect.number, float("inf")))
    return [first.get(number, float("inf")) for number in accepted]


def lost(effects: Collection[Effect], accepted: Collection[int]) -> int:
    """Count the accepted tasks that had no effect."""
    return len(set(accepted) - {effect.number for effect in effects})


def doubled(effects: Collection[Effect]) -> int:
    """Count the effects beyond the first of each task."""
    return sum(times - 1 for times in Counter(effect.number for effect in effects).values())


def milliseconds(taken: Sequence[float], share: float) -> float:
    """Return a percentile of seconds, in ms."""
    return percentile(taken, share) * 1000


async def read(connection: "asyncpg.Connection[Any]", first: int, number: int) -> list[Effect]:
    """Read the effects of tasks by their numbers, in the order in which they were committed."""
    return [Effect(*row) for row in await connection.fetch(READ, first, first + number - 1)]


async def progress(connection: "asyncpg.Connection[Any]", first: int, number: int) -> tuple[int, int]:
    """Return how many effects these tasks had so far, and how many of them had one."""
    row = await connection.fetchrow(PROGRESS, first, first + number - 1)
    return (row["rows"], row["had"]) if row else (0, 0)


async def latest_worker(connection: "asyncpg.Connection[Any]") -> int:
    """Return the process that had the latest effect."""
    return int(await connection.fetchval(LATEST) or 0)
