"""Which garments a photo of several shows, and how many of each: a second look at crops of it.

Overlapping quarters and halves are read like photos of their own. Those that look most like one garment are
kept, the best first, as long as they share no ground.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

LEAST = 0.4
"""Confidence in a class times the chance of showing one garment only that a crop needs to count."""


@dataclass(frozen=True)
class Crop:
    """A crop of the picture, in quarters of its edge."""

    left: int
    top: int
    wide: int
    high: int

    def overlaps(self, other: Crop) -> bool:
        """Whether both show some of the same ground."""
        across = min(self.left + self.wide, other.left + other.wide) - max(self.left, other.left)
        down = min(self.top + self.high, other.top + other.high) - max(self.top, other.top)
        return across > 0 and down > 0


CROPS = (
    Crop(0, 0, 2, 4),
    Crop(2, 0, 2, 4),
    Crop(0, 0, 4, 2),
    Crop(0, 2, 4, 2),
    *(Crop(left, top, 2, 2) for left, top in itertools.product((0, 1, 2), repeat=2)),
)
"""Halves first: of what looks alike, the larger is kept."""


@dataclass(frozen=True)
class Found:
    """Garments of one class: its number, how many, and the confidence of the surest of them."""

    index: int
    count: int
    confidence: float


def crops_of(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Cut a square picture [e, e, 3] into crops, each squashed to a model's input: [n, size, size, 3]."""
    picture, quarter = Image.fromarray(pixels), pixels.shape[0] / 4
    cut = []
    for crop in CROPS:
        box = (crop.left, crop.top, crop.left + crop.wide, crop.top + crop.high)
        seen = picture.resize((size, size), Image.Resampling.BOX, box=tuple(quarter * edge for edge in box))
        cut.append(np.asarray(seen))
    return np.stack(cut)


def count_garments(probs: Floats, several: Floats) -> list[Found]:
    """Count garments in what a model says of ``CROPS``.

    Args:
        probs: probability of each class, [crops, labels].
        several: chance of showing more than one garment, [crops].

    Returns:
        what was found, the most numerous and then the surest first; empty if fewer than two garments were.
    """
    classes, sole = probs.argmax(axis=1), probs.max(axis=1) * (1 - several)
    kept: list[int] = []
    for place in np.argsort(-sole, kind="stable").tolist():
        if sole[place] >= LEAST and not any(CROPS[place].overlaps(CROPS[other]) for other in kept):
            kept.append(place)
    if len(kept) < 2:
        return []
    found = [
        Found(index, len(places), float(max(probs[place, index] for place in places)))
        for index in dict.fromkeys(int(classes[place]) for place in kept)
        for places in [[place for place in kept if classes[place] == index]]
    ]
    return sorted(found, key=lambda each: (-each.count, -each.confidence))
