"""Two runs side by side."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from laundry_lab.load.figures import UNITS
from laundry_lab.load.runs import Run

ASKED = (
    *("pattern", "photos", "seconds", "even", "batch", "target", "photo", "at_once", "waiting", "seed"),
    *("hold", "consumers"),
)
SURROUNDINGS = ("processor", "cores", "nodes", "python", "commit", "servers", "packages")
SAID = ((None, "none"), (True, "yes"), (False, "no"))


@dataclass(frozen=True)
class Difference:
    """One figure of both runs; None where a run has none."""

    name: str
    before: float | None
    after: float | None

    @property
    def ratio(self) -> float | None:
        """The value after, divided by the value before."""
        if self.before is None or self.after is None or not self.before:
            return None
        if not (math.isfinite(self.before) and math.isfinite(self.after)):
            return None
        return self.after / self.before


@dataclass(frozen=True)
class Comparison:
    """Two runs and their names."""

    before: Run
    after: Run
    names: tuple[str, str]

    def differences(self) -> Iterator[Difference]:
        """Yield every figure that either run has."""
        for name in UNITS:
            before, after = self.before.values.get(name), self.after.values.get(name)
            if before is not None or after is not None:
                yield Difference(name, before, after)

    def unlike(self) -> list[str]:
        """Say in what the two were not asked for the same, or not measured in the same place."""
        one, other = self.before, self.after
        found = _unlike(ASKED, one.plan, other.plan)
        found += _unlike(["interrupted"], vars(one), vars(other))
        return found + _unlike(SURROUNDINGS, one.surroundings, other.surroundings)


def _unlike(names: Iterable[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say which of these differ; of several things under one name, such as versions, each by its own."""
    found = []
    for name in names:
        before, after = one.get(name), other.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _unlike({**before, **after}, before, after)
        elif before != after:
            found.append(f"{name}: {_told(one, name)} and {_told(other, name)}")
    return found


def _told(where: Mapping[str, Any], name: str) -> str:
    # Runs of earlier versions do not say everything.
    value = where.get(name, "not told")
    return next((word for each, word in SAID if value is each), str(value))
