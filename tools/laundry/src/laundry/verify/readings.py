"""Readings a second by the replicas that run, of 500 KB photos."""

from laundry.bench import readings
from laundry.bench.stage import NotMeasured, Stage
from laundry.verify.outcomes import Outcome, Verification

CLAUSE = "AI consumers in parallel"


async def check(stage: Stage, found: Verification) -> None:
    """Measure as ``laundry bench`` does."""
    figures = {
        figure.name: figure
        for figure in await readings.phone_photos(stage, faults=False)
        if figure.group == readings.GROUP
    }
    rate = next((figure for name, figure in figures.items() if name.endswith("replicas")), None)
    if rate is None:
        raise NotMeasured("readings: no rate was measured")
    found.outcomes += [
        Outcome(CLAUSE, rate.name, rate.value, "/s", 60, at_most=False, note=rate.note),
        Outcome(CLAUSE, "not read", figures["not read"].value, "", 0),
    ]
