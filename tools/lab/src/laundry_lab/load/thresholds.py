"""What a run must reach: ``p99<=300ms``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from laundry_lab.load.figures import UNITS
from laundry_lab.report import reaches
from laundry_servers.errors import LaundryError

DEFAULTS = ("p95<=100ms", "failed<=0", "dropped<=0", "lost<=0", "lateness_p99<=10ms")
_FORM = re.compile(r"\s*([a-z0-9_.]+)\s*(<=|>=)\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|%|MB|/s)?\s*")


@dataclass(frozen=True)
class Threshold:
    """A bound of one figure, in the figure's unit."""

    figure: str
    bound: float
    at_most: bool

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Read a threshold.

        Raises:
            LaundryError: it is malformed, or names an unknown figure or unit.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise LaundryError(f"{text!r} is no threshold; examples: p99<=300ms, failed<=0, throughput>=50")
        name, sign, value, unit = match.groups()
        if name not in UNITS:
            raise LaundryError(f"There is no figure {name!r}. There are: {', '.join(UNITS)}.")
        bound = float(value)
        if unit == "s" and UNITS[name] == "ms":
            bound, unit = bound * 1000, "ms"
        if unit is not None and unit != UNITS[name]:
            raise LaundryError(f"{text!r}: {name} is measured in {UNITS[name] or 'pieces'}, not in {unit}.")
        return cls(name, bound, sign == "<=")

    def __str__(self) -> str:
        return f"{self.figure} {'≤' if self.at_most else '≥'} {self.bound:g} {UNITS[self.figure]}".rstrip()


@dataclass(frozen=True)
class ThresholdResult:
    """A threshold, and what was measured; None where nothing was."""

    threshold: Threshold
    value: float | None

    @property
    def passed(self) -> bool:
        """Whether it was measured and reached."""
        threshold = self.threshold
        return self.value is not None and reaches(self.value, threshold.bound, at_most=threshold.at_most)


def judge(thresholds: Iterable[Threshold], values: Mapping[str, float]) -> list[ThresholdResult]:
    """Compare figures with thresholds; what was not measured does not pass."""
    return [ThresholdResult(each, values.get(each.figure)) for each in thresholds]
