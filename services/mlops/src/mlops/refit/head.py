"""The last layer: fitting it to examples without forgetting what it knew.

A multinomial logistic regression on the model's features whose weights start at, and are drawn towards, the
champion's (a Gaussian prior around them). How strongly is chosen by cross-validation on the examples
themselves; "not moving at all" takes part, so examples that teach nothing change nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STRENGTHS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Pulls towards the champion that are tried, strongest first."""

FOLDS = 4
MAX_STEPS = 600
STILL = 1e-6


@dataclass(frozen=True)
class Head:
    """A last layer: logits = features @ weights.T + bias. Shapes [labels, features] and [labels]."""

    weights: Floats
    bias: Floats

    def probabilities(self, features: Floats) -> Floats:
        """What it says of features [n, features]: probabilities [n, labels]."""
        return softmax(features @ self.weights.T + self.bias)


@dataclass(frozen=True)
class Fitted:
    """A fitted head, its pull (None: it is the champion's own head), and the losses of all pulls tried."""

    head: Head
    strength: float | None
    tried: dict[str, float]


def softmax(logits: Floats) -> Floats:
    """Probabilities from logits, row by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    raised = np.exp(shifted)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def log_losses(probs: Floats, targets: Ints) -> Floats:
    """Negative logarithm of the probability given to the truth, row by row."""
    return np.asarray(-np.log(np.clip(probs[np.arange(len(targets)), targets], 1e-12, 1)))


def log_loss(probs: Floats, targets: Ints) -> float:
    """Mean of ``log_losses``."""
    return float(log_losses(probs, targets).mean())


def fit(champion: Head, features: Floats, targets: Ints, strength: float) -> Head:
    """Fit a head to examples, drawn towards the champion's by ``strength`` (in units of one example's loss).

    Works on standardised features, so that the pull means the same for each of them; accelerated gradient
    descent with the step that the curvature allows.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = np.hstack([(features - mean) / scale, np.ones((len(features), 1))])
    base = features @ champion.weights.T + champion.bias
    truth = np.eye(len(champion.bias))[targets]
    curvature = 0.5 * float(np.linalg.eigvalsh(x.T @ x / len(x))[-1]) + strength
    change = np.zeros((len(champion.bias), x.shape[1]))
    ahead, momentum = change, 1.0
    for _ in range(MAX_STEPS):
        error = softmax(base + x @ ahead.T) - truth
        gradient = error.T @ x / len(x) + strength * ahead
        moved = ahead - gradient / curvature
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - change)
        step = float(np.abs(moved - change).max())
        change, momentum = moved, following
        if step < STILL:
            break
    weights = change[:, :-1] / scale
    return Head(champion.weights + weights, champion.bias + change[:, -1] - weights @ mean)


def choose_and_fit(
    champion: Head,
    features: Floats,
    targets: Ints,
    *,
    strengths: Sequence[float] = STRENGTHS,
    progress: Callable[[float], None] = lambda _: None,
) -> Fitted:
    """Choose the pull by cross-validated log loss, then fit all examples with it.

    The best pull must beat the champion by more than the standard error of that comparison: the best of
    several looks better by luck.
    """
    folds = np.arange(len(targets)) % min(FOLDS, len(targets))
    unmoved = log_losses(champion.probabilities(features), targets)
    tried = {"champion": round(float(unmoved.mean()), 6)}
    best, least = None, np.inf
    for number, strength in enumerate(strengths):
        losses = np.empty(len(targets))
        for fold in np.unique(folds):
            inside, outside = folds != fold, folds == fold
            head = fit(champion, features[inside], targets[inside], strength)
            losses[outside] = log_losses(head.probabilities(features[outside]), targets[outside])
        tried[f"{strength:g}"] = round(float(losses.mean()), 6)
        gained = unmoved - losses
        luck = float(gained.std() / np.sqrt(len(gained)))
        if gained.mean() > luck and losses.mean() < least:
            best, least = strength, float(losses.mean())
        progress((number + 1) / len(strengths))
    if best is None:
        return Fitted(champion, None, tried)
    return Fitted(fit(champion, features, targets, best), best, tried)
