"""How accurate and how well calibrated a model is on unseen households."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

FOLDS = 5


@dataclass(frozen=True)
class ClassScore:
    """One class on the held-out photos: how many, share found, share of its claims that are right."""

    label: str
    photos: int
    recall: float
    precision: float


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out photos; shares 0..1. Accepted means confident enough to need no person."""

    photos: int
    households: int
    top1: float
    top1_low: float
    top1_high: float
    top2: float
    household_mean: float
    log_loss: float
    calibration_error: float
    accepted: float
    accepted_accuracy: float
    other_reviewed: float
    other_photos: int
    classes: list[ClassScore]
    confusion: list[list[int]]


def softmax(logits: Floats) -> Floats:
    """Probabilities of each row."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def log_loss(probs: Floats, targets: Ints) -> float:
    """Mean negative log likelihood, nats."""
    return float(-np.log(np.clip(probs[np.arange(len(targets)), targets], 1e-9, 1)).mean())


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """The divisor of the logits that makes confidences honest: least log loss (Guo et al. 2017)."""
    grid = np.exp(np.linspace(np.log(0.3), np.log(4.0), 200))
    return float(min(grid, key=lambda t: log_loss(softmax(logits / t), targets)))


def choose_threshold(
    probs: Floats, targets: Ints, wanted: float = 0.95, known: Floats | None = None
) -> float:
    """The least sureness above which the share of right readings is `wanted`; 1.0 if there is none.

    Sureness is the confidence times `known`, the chance [n] that the photo shows any of the classes.
    """
    sure = sureness(probs, known)
    right = probs.argmax(axis=1) == targets
    order = np.argsort(-sure, kind="stable")
    running = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(running >= wanted)
    return float(sure[order][enough[-1]]) if len(enough) else 1.0


def sureness(probs: Floats, known: Floats | None) -> Floats:
    """How sure the model is of each photo's first guess, as ``laundry_reading.model`` reckons it."""
    return np.asarray(probs.max(axis=1) * (1.0 if known is None else known))


def calibration_error(probs: Floats, targets: Ints, bins: int = 12) -> float:
    """Expected calibration error over bins of equal count: mean gap between confidence and accuracy."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == targets
    parts = np.array_split(np.argsort(confidence), bins)
    return float(
        sum(abs(confidence[p].mean() - right[p].mean()) * len(p) for p in parts if len(p)) / len(right)
    )


def evaluate(
    logits: Floats,
    targets: Ints,
    households: Sequence[str],
    *,
    labels: Sequence[str],
    other_logits: Floats,
    known: Floats | None = None,
    other_known: Floats | None = None,
    wanted: float = 0.95,
) -> Evaluation:
    """Judge held-out logits.

    Temperature and threshold would flatter themselves on the photos they were fitted on, so for the figures
    they are fitted on four fifths of the households and applied to the fifth, in turn. `other_logits` are of
    held-out photos that show none of the classes; the share of them sent to a person is `other_reviewed`.
    `known` and `other_known` are the chances [n] that a photo shows any of the classes.
    """
    known = np.ones(len(targets)) if known is None else known
    names = sorted(set(households))
    fold = np.array([names.index(household) % FOLDS for household in households])
    probs = np.zeros_like(logits)
    accepted = np.zeros(len(targets), dtype=bool)
    reviewed: list[float] = []
    for number in range(FOLDS):
        fitted, judged = fold != number, fold == number
        temperature = fit_temperature(logits[fitted], targets[fitted])
        probs[judged] = softmax(logits[judged] / temperature)
        threshold = choose_threshold(
            softmax(logits[fitted] / temperature), targets[fitted], wanted, known[fitted]
        )
        accepted[judged] = sureness(probs[judged], known[judged]) >= threshold
        if len(other_logits):
            sure = sureness(softmax(other_logits / temperature), other_known)
            reviewed.append(float((sure < threshold).mean()))
    order = np.argsort(-logits, axis=1)
    right = order[:, 0] == targets
    by_household = {name: right[np.array(households) == name] for name in names}
    low, high = _bootstrap([by_household[name] for name in names])
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (targets, order[:, 0]), 1)
    return Evaluation(
        photos=len(targets),
        households=len(names),
        top1=float(right.mean()),
        top1_low=low,
        top1_high=high,
        top2=float((order[:, :2] == targets[:, None]).any(axis=1).mean()),
        household_mean=float(np.mean([each.mean() for each in by_household.values()])),
        log_loss=log_loss(probs, targets),
        calibration_error=calibration_error(probs, targets),
        accepted=float(accepted.mean()),
        accepted_accuracy=float(right[accepted].mean()) if accepted.any() else 0.0,
        other_reviewed=float(np.mean(reviewed)) if reviewed else 0.0,
        other_photos=len(other_logits),
        classes=[
            ClassScore(
                label,
                int(confusion[i].sum()),
                float(confusion[i, i] / max(1, confusion[i].sum())),
                float(confusion[i, i] / max(1, confusion[:, i].sum())),
            )
            for i, label in enumerate(labels)
        ],
        confusion=[[int(cell) for cell in row] for row in confusion],
    )


def _bootstrap(groups: Sequence[npt.NDArray[np.bool_]], draws: int = 2000) -> tuple[float, float]:
    # Photos of one household resemble each other, so whole households are drawn, not photos.
    random = np.random.default_rng(0)
    sums = np.array([group.sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    picks = random.integers(0, len(groups), (draws, len(groups)))
    shares = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)
