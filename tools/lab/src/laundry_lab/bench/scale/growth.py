"""Times at growing numbers of rows, and what grows faster than it should."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from laundry_lab.bench.figures import Figure

Growth = Literal["page", "linear"]
"""A page costs the same however much there is behind it; a sweep, a match or a migration passes every row."""

EXPONENTS: Mapping[Growth, float] = {"page": 0.3, "linear": 1.1}
"""The most by which each may grow: a time is taken as rows to this power."""

FLOOR_MS = 5.0
"""Below it a time is noise of the machine and of HTTP."""


@dataclass(frozen=True)
class Reading:
    """A time of one thing at one step.

    Attributes:
        rows: how many rows there were.
        at_most_ms: what it may take at the largest step, where somebody waits for it.
    """

    name: str
    growth: Growth
    rows: int
    ms: float
    note: str = ""
    at_most_ms: float | None = None


@dataclass
class Series:
    """The times of one thing, step after step."""

    name: str
    growth: Growth
    readings: list[Reading] = field(default_factory=list)

    @property
    def exponent(self) -> float:
        """The largest power of the number of rows by which it grew from one step to the next; 0 for one step.

        From the first step to the last would hide the steepest: a fixed part makes the first times long.
        """
        return max((_exponent(*pair) for pair in pairwise(self.readings)), default=0.0)


def series_of(readings: Sequence[Reading]) -> list[Series]:
    """Sort readings by what they are of, in the order in which each was read first."""
    found: dict[str, Series] = {}
    for each in readings:
        found.setdefault(each.name, Series(each.name, each.growth)).readings.append(each)
    for series in found.values():
        series.readings.sort(key=lambda each: each.rows)
    return list(found.values())


def figures(group: str, readings: Sequence[Reading]) -> list[Figure]:
    """Make a figure of each series: the last time, with the steps before it and its growth as the target."""
    made = []
    for series in series_of(readings):
        last = series.readings[-1]
        steps = ", ".join(f"{_rows(each.rows)}: {_time(each.ms)}" for each in series.readings)
        note = "; ".join(part for part in (steps, last.note) if part)
        name = f"{series.name} at {_rows(last.rows)}"
        made.append(Figure(group, name, last.ms, "ms", last.at_most_ms, note=note))
        if len(series.readings) > 1:
            made.append(
                Figure(
                    group,
                    f"{series.name}: growth",
                    max(0.0, series.exponent),
                    "",
                    EXPONENTS[series.growth],
                    note="of its steepest step, as rows to the power; a page should not grow"
                    if series.growth == "page"
                    else "of its steepest step, as rows to the power; 1 is linear",
                )
            )
    return made


def _exponent(first: Reading, last: Reading) -> float:
    if first.rows == last.rows:
        return 0.0
    grown = max(last.ms, FLOOR_MS) / max(first.ms, FLOOR_MS)
    return math.log(grown) / math.log(last.rows / first.rows)


def _rows(number: int) -> str:
    power = round(math.log10(number)) if number > 0 else 0
    return f"10^{power}" if number == 10**power else f"{number:,}"


def _time(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.3g} ms"
