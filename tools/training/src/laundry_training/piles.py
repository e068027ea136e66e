"""Which composed pictures the layer for several garments learns from, and how well it does on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from laundry_reading.model import Model, Reading
from laundry_training.compose import SINGLE, Composed, Layout, compose

LEARNT = 1500
TESTED = 300


@dataclass(frozen=True)
class Piles:
    """Composed pictures of one kind, of some edge in pixels."""

    name: str
    several: bool
    composed: Composed


@dataclass(frozen=True)
class PileScore:
    """How composed pictures of one kind are read; shares 0..1.

    Attributes:
        multiple: said to show several garments. reviewed: sent to a person, for whatever reason.
        claimed: accepted with a class that is on the picture not at all.
        listed, counted: of those said to show several, the list is right with its counts; so is the number
            of garments. A best guess that stands alone, where no two were found, is a list too.
        right, found: of the garments on those lists, these are there; of those there, these are on the lists.
    """

    name: str
    several: bool
    pictures: int
    multiple: float
    reviewed: float
    claimed: float
    listed: float
    counted: float
    right: float
    found: float


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
    """Pictures to judge by, of photos of households that were held out, twice ``size``."""
    plan: list[tuple[str, Layout, Sequence[int]]] = [
        ("two side by side", "tiles", (2,)),
        ("three or four, tiled", "tiles", (3, 4)),
        ("two laid out on one ground", "laid out", (2,)),
        ("three or four laid out", "laid out", (3, 4)),
        ("one beside bare ground", "tiles and bare ground", (1,)),
        ("one laid out, small", "laid out alone", (1,)),
    ]
    return [
        _make(
            name,
            pixels,
            targets,
            layout=layout,
            garments=garments,
            number=number,
            size=2 * size,
            seed=900 + i,
        )
        for i, (name, layout, garments) in enumerate(plan)
    ]


def judge_piles(model: Model, piles: Sequence[Piles]) -> list[PileScore]:
    """Read composed pictures with the finished model."""
    return [_judge(model, pile) for pile in piles]


def _judge(model: Model, pile: Piles) -> PileScore:
    readings = [_read(model, picture) for picture in pile.composed.pixels]
    truth = pile.composed.targets
    first = [model.labels.index(reading.labels[0].label) for reading in readings]
    lists = [
        (Counter({model.labels.index(each.label): each.count for each in reading.labels}), there)
        for reading, there in zip(readings, truth, strict=True)
        if reading.multiple
    ]
    right = sum((said & there).total() for said, there in lists)
    return PileScore(
        pile.name,
        pile.several,
        len(readings),
        multiple=len(lists) / len(readings),
        reviewed=float(np.mean([reading.needs_review for reading in readings])),
        claimed=float(
            np.mean(
                [
                    not reading.needs_review and guess not in there
                    for reading, guess, there in zip(readings, first, truth, strict=True)
                ]
            )
        ),
        listed=_share(sum(said == there for said, there in lists), len(lists)),
        counted=_share(sum(said.total() == there.total() for said, there in lists), len(lists)),
        right=_share(right, sum(said.total() for said, _ in lists)),
        found=_share(right, sum(there.total() for _, there in lists)),
    )


def _read(model: Model, picture: npt.NDArray[np.uint8]) -> Reading:
    """Read a picture of twice the size that the model sees, as ``Model.read`` reads a photo."""
    size = (model.input_size, model.input_size)
    small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    seen = model.predict_all(np.asarray(small)[np.newaxis])
    reading = model.interpret(seen.probs[0], float(seen.known[0]), float(seen.several[0]))
    return model.look_closer(reading, picture) if reading.multiple else reading


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0


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
