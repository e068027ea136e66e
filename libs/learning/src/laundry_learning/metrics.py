"""What a manifest tells of a judged model: how good it and the champion are on the same photos."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import JsonValue

from laundry_learning.head import Floats, Ints, log_losses
from laundry_learning.judging import Predictions
from laundry_learning.statistics import calibration_error


@dataclass(frozen=True)
class ClassFigures:
    """One class: its photos, the share found of them, and the share of its claims that are right."""

    label: str
    photos: int
    recall: float
    precision: float


@dataclass(frozen=True)
class Figures:
    """What a manifest tells of a model on photos that it never learnt from; shares 0..1.

    ``confusion`` counts photos: a row for each true class, a column for each first guess.
    """

    photos: int
    top1: float
    log_loss: float
    calibration_error: float
    classes: list[ClassFigures]
    confusion: list[list[int]]


def figures_of(probs: Floats, targets: Ints, labels: Sequence[str]) -> Figures:
    """Measure predictions [n, labels] of photos whose classes are known."""
    guesses = probs.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (targets, guesses), 1)
    shown, claimed = confusion.sum(axis=1), confusion.sum(axis=0)
    return Figures(
        photos=len(targets),
        top1=round(float((guesses == targets).mean()), 4),
        log_loss=round(float(log_losses(probs, targets).mean()), 4),
        calibration_error=round(calibration_error(probs, targets), 4),
        classes=[
            ClassFigures(
                label,
                photos=int(shown[i]),
                recall=round(float(confusion[i, i] / max(1, shown[i])), 4),
                precision=round(float(confusion[i, i] / max(1, claimed[i])), 4),
            )
            for i, label in enumerate(labels)
        ],
        confusion=confusion.tolist(),
    )


def metrics_of(holdout: Predictions | None, labels: Sequence[str]) -> dict[str, JsonValue]:
    """Return the metrics of a judged model's manifest, with the champion's on the same photos."""
    if holdout is None:
        return {"judged_on": "the frozen holdout", "champion": None}
    return {
        "judged_on": "the frozen holdout",
        **asdict(figures_of(holdout.challenger, holdout.targets, labels)),
        "champion": asdict(figures_of(holdout.champion, holdout.targets, labels)),
    }
