"""Which composed pictures the layer for several garments learns from, and how well it does on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from laundry_reading.model import Model, Reading
from mlops.training.compose import SINGLE, Composed, Layout, compose

LEARNT = 1500
TESTED = 300


@dataclass(frozen=True)
class Piles:
    """Composed pictures of one kind."""

    name: str
    several: bool
    composed: Composed


@dataclass(frozen=True)
class PileScore:
    """How composed pictures of one kind are read; shares 0..1.

    Attributes:
        multiple: said to show several garments. reviewed: sent to a person, for whatever reason.
        named: of those that show several kinds, all kinds are among the guesses shown.
        claimed: accepted with a class that is on the picture not at all.
    """

    name: str
    several: bool
    pictures: int
    multiple: float
    reviewed: float
    named: float
    claimed: float


def piles_to_learn(
    pixels: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64], size: int, number: int = LEARNT
) -> list[Piles]:
    """Pictures to learn from, of training photos of the classes [n, s, s, 3]; half as many of one garment."""
    plan: list[tuple[Layout, Sequence[int], int]] = [
        ("tiles", (2, 3, 4), number),
        ("laid out", (2, 3, 4), number),
        ("tiles and bare ground", (1,), number // 2),
        ("laid out alone", (1,), number // 2),
    ]
    return [
        _make(
            layout, pixels, targets, layout=layout, garments=garments, number=count, size=size, seed=100 + i
        )
        for i, (layout, garments, count) in enumerate(plan)
    ]


def piles_to_judge(
    pixels: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64], size: int, number: int = TESTED
) -> list[Piles]:
    """Pictures to judge by, of photos of households that were held out."""
    plan: list[tuple[str, Layout, Sequence[int]]] = [
        ("two side by side", "tiles", (2,)),
        ("three or four, tiled", "tiles", (3, 4)),
        ("two laid out on one ground", "laid out", (2,)),
        ("three or four laid out", "laid out", (3, 4)),
        ("one beside bare ground", "tiles and bare ground", (1,)),
        ("one laid out, small", "laid out alone", (1,)),
    ]
    return [
        _make(name, pixels, targets, layout=layout, garments=garments, number=number, size=size, seed=900 + i)
        for i, (name, layout, garments) in enumerate(plan)
    ]


def judge_piles(model: Model, piles: Sequence[Piles]) -> list[PileScore]:
    """Read composed pictures with the finished model."""
    return [_judge(model, pile) for pile in piles]


def _judge(model: Model, pile: Piles) -> PileScore:
    readings: list[Reading] = []
    for picture in pile.composed.pixels:
        seen = model.predict_all(picture[np.newaxis])
        readings.append(model.interpret(seen.probs[0], float(seen.known[0]), float(seen.several[0])))
    shown = [{model.labels.index(label.label) for label in reading.labels} for reading in readings]
    first = [model.labels.index(reading.labels[0].label) for reading in readings]
    truth = pile.composed.targets
    mixed = [index for index, targets in enumerate(truth) if len(targets) > 1]
    return PileScore(
        pile.name,
        pile.several,
        len(readings),
        multiple=float(np.mean([reading.multiple for reading in readings])),
        reviewed=float(np.mean([reading.needs_review for reading in readings])),
        named=float(np.mean([truth[index] <= shown[index] for index in mixed])) if mixed else 0.0,
        claimed=float(
            np.mean(
                [
                    not reading.needs_review and guess not in targets
                    for reading, guess, targets in zip(readings, first, truth, strict=True)
                ]
            )
        ),
    )


def _make(
    name: str,
    pixels: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64],
    *,
    layout: Layout,
    garments: Sequence[int],
    number: int,
    size: int,
    seed: int,
) -> Piles:
    composed = compose(pixels, targets, layout=layout, garments=garments, number=number, size=size, seed=seed)
    return Piles(name, layout not in SINGLE, composed)
