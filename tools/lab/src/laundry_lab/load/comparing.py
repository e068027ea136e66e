"""Two runs side by side."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from laundry_lab.load.figures import UNITS
from laundry_lab.load.runs import Run

UNLIKE = ("pattern", "photos", "seconds", "batch", "target", "photo", "at_once", "seed")


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
        found = [
            f"{name}: {one.plan[name]} and {other.plan[name]}"
            for name in UNLIKE
            if one.plan[name] != other.plan[name]
        ]
        found += [
            f"{name}: {one.surroundings.get(name)} and {other.surroundings.get(name)}"
            for name in ("processor", "cores", "nodes", "python", "commit")
            if one.surroundings.get(name) != other.surroundings.get(name)
        ]
        return found
