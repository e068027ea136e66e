"""Whether a photo shows any of the classes, and shows it well enough: a small layer beside the last one.

A softmax must name some class, and is often sure of it. This layer learns doubt from photos of other things,
from drawn pictures and corners of photos that show no garment, and from composed pictures in which a garment
covers little: there it learns whether the first guess was right. Figures are in the model card; what else
was tried is in docs/decisions/0026-what-is-not-laundry.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from laundry_learning.dataset import UNKNOWN
from laundry_reading.model import Model
from laundry_training.auxiliary_heads import Activations, Floats, Layer, activations_of, fit_layer
from laundry_training.compose import Composed, Layout, bare_ground, compose
from laundry_training.no_garment import LEARNT, draw
from laundry_training.unseen_kinds import UNSEEN

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

OTHER = 3.0
"""How much a photo of another thing counts beside one of the classes. More sends more of them to a person,
and more garments of the classes with them."""

ALIKE = {"polo": 12.0}
"""How much other things count that are most like one of the classes: a polo is read as a t-shirt."""

NO_GARMENT = 0.3
SMALL = 0.5
DRAWN, CORNERS = 2400, 1200
COMPOSED: tuple[tuple[Layout, int], ...] = (("laid out alone", 2500), ("tiles and bare ground", 1000))
COMPOSED_OTHER: tuple[Layout, int] = ("laid out alone", 600)
SEEDS = tuple(range(8))
JUDGED = 100
"""Pictures of each kind that judge."""


@dataclass(frozen=True)
class Photos:
    """The training photos.

    Attributes:
        served: as the model reads them, [n, s, s, 3].
        targets: their class numbers [n], -1 for other things; ``labels``: what they are labelled as.
        large: the same in the size from which pictures are composed.
    """

    served: Pixels
    targets: Ints
    labels: Sequence[str]
    large: Pixels


@dataclass(frozen=True)
class LayerExamples:
    """What is learnt from: inputs [n, 2 d], whether each shows a class well enough, and its weight [n]."""

    inputs: Floats
    known: npt.NDArray[np.bool_]
    weights: Floats


@dataclass(frozen=True)
class DrawnScore:
    """Pictures of one kind without a garment that was never learnt from; the share 0..1 sent to a person."""

    name: str
    pictures: int
    reviewed: float


def weigh(targets: Ints, labels: Sequence[str]) -> Floats:
    """How much each photo counts [n], by its class number, -1 for other things, and its label."""
    weights = [
        1.0 if target >= 0 else ALIKE.get(label, OTHER)
        for target, label in zip(targets.tolist(), labels, strict=True)
    ]
    return np.array(weights)


def layer_examples_of(
    model: onnx.ModelProto, photos: Photos, activations: Activations, *, share: float = 1.0
) -> LayerExamples:
    """Gather the examples.

    Args:
        model: looks at what is made here; ``activations`` is what it sees of ``photos``.
        share: of the number of pictures that is usual.
    """

    def some(number: int) -> int:
        return max(1, round(number * share))

    known, size = photos.targets >= 0, photos.served.shape[1]
    garments, targets, others = photos.large[known], photos.targets[known], photos.large[~known]
    examples = [(activations.inputs, known, weigh(photos.targets, photos.labels))]

    def one(large: Pixels, classes: Ints, what: tuple[Layout, int], *, seed: int) -> Composed:
        return compose(
            large, classes, layout=what[0], garments=(1,), number=some(what[1]), size=size, seed=seed
        )

    def doubt(pictures: Pixels, weight: float) -> None:
        count = len(pictures)
        examples.append(
            (activations_of(model, pictures).inputs, np.zeros(count, dtype=bool), np.full(count, weight))
        )

    doubt(draw(LEARNT, some(DRAWN), size, seed=1), NO_GARMENT)
    doubt(bare_ground(garments, number=some(CORNERS), size=size, seed=5), NO_GARMENT)
    if len(others):
        nothing = np.full(len(others), UNKNOWN, dtype=np.int64)
        doubt(one(others, nothing, COMPOSED_OTHER, seed=13).pixels, SMALL)
    for seed, what in enumerate(COMPOSED, start=11):
        made = one(garments, targets, what, seed=seed)
        seen = activations_of(model, made.pixels)
        guesses = seen.probs.argmax(axis=1).tolist()
        right = [guess in there for guess, there in zip(guesses, made.targets, strict=True)]
        examples.append((seen.inputs, np.array(right), np.full(len(right), SMALL)))
    return LayerExamples(*(np.concatenate(part) for part in zip(*examples, strict=True)))


def fit_known(examples: LayerExamples) -> Layer:
    """Fit the layer. Raises ValueError: the examples have one answer only."""
    return fit_layer(examples.inputs, examples.known, examples.weights, seeds=SEEDS, input_dropout=0.1)


def judge_drawn(model: Model, large: Pixels, number: int = JUDGED) -> list[DrawnScore]:
    """Read pictures without a garment: kinds never learnt from, and corners of held-out photos ``large``."""
    size = model.input_size
    kinds = {name: draw({name: kind}, number, size, seed=2) for name, kind in UNSEEN.items()}
    kinds["corners of held-out photos"] = bare_ground(large, number=number, size=size, seed=6)
    return [DrawnScore(name, number, _reviewed(model, pictures)) for name, pictures in kinds.items()]


def _reviewed(model: Model, pictures: Pixels) -> float:
    asked = 0
    for index in range(len(pictures)):
        seen = model.predict_all(pictures[index : index + 1])
        reading = model.interpret(seen.probs[0], float(seen.known[0]), float(seen.several[0]))
        asked += reading.needs_review
    return asked / len(pictures)
