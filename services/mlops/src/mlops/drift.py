"""Drift: how far recent readings differ from earlier ones. Knows no server and no framework."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import log

from mlops.examples import ConfirmedReading

RECENT, BEFORE = 200, 1000
LEAST_BEFORE = 200
ALARM = 0.25
"""From here on a population is held to be another one (the usual reading of the index)."""

STEPS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Drift:
    """Population stability indices of the first guesses' classes and confidences; share corrected lately."""

    classes: float
    confidence: float
    corrected: float

    @property
    def alarming(self) -> bool:
        """Whether either index indicates a different population."""
        return max(self.classes, self.confidence) > ALARM


def stability(before: Sequence[Hashable], recent: Sequence[Hashable]) -> float:
    """Return the population stability index of two samples; 0 is the same mix."""
    was, now = Counter(before), Counter(recent)
    index = 0.0
    for kind in was.keys() | now.keys():
        p = max(was[kind] / len(before), LEAST_SHARE)
        q = max(now[kind] / len(recent), LEAST_SHARE)
        index += (q - p) * log(q / p)
    return index


def drift_of(readings: Sequence[ConfirmedReading]) -> Drift | None:
    """Compare the newest examples' readings with those before; None as long as there are too few.

    Args:
        readings: newest first. Those of several kinds do not count: what is first in a list of what was found
            is no first guess.
    """
    read = [each for each in readings if each.read_labels and len(each.labels) == 1]
    recent, before = read[:RECENT], read[RECENT : RECENT + BEFORE]
    if len(before) < LEAST_BEFORE:
        return None
    return Drift(
        stability(*([each.read_labels[0].label for each in some] for some in (before, recent))),
        stability(*([_step(each.read_labels[0].confidence) for each in some] for some in (before, recent))),
        sum(each.corrected for each in recent) / len(recent),
    )


def _step(confidence: float) -> int:
    return sum(confidence >= step for step in STEPS)
