"""The schedule of a fine-tuning and the order of its photos. Does not need torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Attributes:
        view: edge of what the network sees when it serves, pixels.
        repeats: how often a correction of full weight is seen in an epoch.
        most_corrected: largest share of an epoch that corrections may fill.
        average: share of itself that the average keeps at each step.
        temperature, smoothing: of the former network's answers, and of the labels.
    """

    epochs: int
    rate: float
    view: int
    batch: int = 64
    decay: float = 0.05
    average: float = 0.99
    repeats: float = 3.0
    most_corrected: float = 0.5
    temperature: float = 2.0
    smoothing: float = 0.05
    warm_up: int = 20
    seed: int = 11


def wanted_times(
    photos: int, corrections: npt.NDArray[np.float64], recipe: Recipe
) -> npt.NDArray[np.float64]:
    """How often each correction is seen in an epoch of so many photos, by its weight 0..1."""
    wanted = corrections * recipe.repeats
    most = photos * recipe.most_corrected / (1 - recipe.most_corrected)
    return wanted * min(1.0, most / max(float(wanted.sum()), 1e-9))


def draw_order(
    random: np.random.Generator, photos: int, corrections: npt.NDArray[np.float64], recipe: Recipe
) -> npt.NDArray[np.int64]:
    """The places of an epoch in random order: each photo once, corrections several times by their weight.

    Args:
        photos: how many there are; the corrections' places follow theirs.
        corrections: their weights 0..1.
    """
    wanted = wanted_times(photos, corrections, recipe)
    times = np.floor(wanted + random.random(len(wanted))).astype(np.int64)
    places = np.concatenate([np.arange(photos), np.repeat(photos + np.arange(len(times)), times)])
    return np.asarray(random.permutation(places), dtype=np.int64)
