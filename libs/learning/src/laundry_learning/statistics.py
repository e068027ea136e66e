"""The few statistics that judging needs, without a statistics package."""

from math import comb

import numpy as np
import numpy.typing as npt

from laundry_learning.head import Floats, Ints

DRAWS = 2000
BINS = 10

Bools = npt.NDArray[np.bool_]


def worse_by_chance(lost: int, won: int) -> float:
    """Return the probability of at least this many losses if losses and wins were equally likely.

    The exact one-sided McNemar test: of the photos on which two models differ, ``lost`` are right only with
    the former and ``won`` only with the new one.
    """
    differ = lost + won
    return float(sum(comb(differ, k) for k in range(lost, differ + 1)) / 2**differ)


def household_interval(difference: Floats, households: Ints) -> tuple[float, float]:
    """Return the 95 % interval of a mean difference: households are drawn whole: their photos are alike."""
    _, inverse = np.unique(households, return_inverse=True)
    sums, sizes = np.bincount(inverse, weights=difference), np.bincount(inverse)
    picks = np.random.default_rng(0).integers(0, len(sizes), (DRAWS, len(sizes)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def calibration_error(probs: Floats, targets: Ints) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy over bins of equal count."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == targets
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(BINS, len(targets)))
    gaps = sum(abs(float(confidence[p].mean() - right[p].mean())) * len(p) for p in parts if len(p))
    return gaps / len(targets)
