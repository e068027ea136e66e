"""Readings a second by the replicas that run, of 500 KB photos."""

from laundry_lab.bench import readings
from laundry_lab.bench.stage import Stage
from laundry_lab.verify.outcomes import Outcome, Verification

CLAUSE = "AI consumers in parallel"


async def check(stage: Stage, found: Verification) -> None:
    """Measure as ``laundry bench`` does, beside a loop with bare clients of broker and database."""
    rate, unread = await readings.phone_photos(stage)
    ceiling = await readings.ceiling(stage)
    found.outcomes += [
        Outcome(CLAUSE, rate.name, rate.value, "/s", 60, at_most=False, note=rate.note, ceiling=ceiling),
        Outcome(CLAUSE, unread.name, unread.value, "", 0),
    ]
