"""The last layer: fitting it to examples without forgetting.

A multinomial logistic regression on the model's features whose weights start at, and are drawn towards,
those of the trained model (a Gaussian prior). Beside the examples it rehearses photos of the original
training, which together weigh as much as ``REHEARSAL_WEIGHT`` examples: without them a few corrections of
one branch cost all others more than the branch gains. Half of what it rehearses is what the photo shows,
half what the trained model says of it (Li and Hoiem 2016): the network has seen these photos, and labels
alone would make the head surer of everything than it may be.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PULL = 1.0
"""How strongly the weights are drawn back, in examples per unit of squared change (standardised features)."""

REHEARSAL_WEIGHT = 300.0
"""Least weight of the rehearsal, in examples; half of the examples if these are more."""

COOLEST, WARMEST = 0.8, 1.6
"""Bounds of the temperature that examples may ask for."""

USUAL_CHANGE = 0.1
"""Standard deviation of its logarithm before any example is seen: a few dozen tell little of how sure a
model may be, and what they seem to ask for by chance costs all other branches their calibration.
"""

FOLDS = 5
MAX_STEPS = 200
STILL = 1e-4
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Head:
    """A last layer: logits = features @ weights.T + bias. Shapes [labels, features] and [labels]."""

    weights: Floats
    bias: Floats

    def probabilities(self, features: Floats) -> Floats:
        """What it says of features [n, features]: probabilities [n, labels]."""
        return softmax(features @ self.weights.T + self.bias)

    def warmed(self, temperature: float) -> "Head":
        """Return it with its logits divided by a temperature."""
        return Head(self.weights / temperature, self.bias / temperature)


@dataclass(frozen=True)
class Examples:
    """Features [n, d], class numbers [n] and weights [n] (1 is one whole example)."""

    features: Floats
    targets: Ints
    weights: Floats

    def some(self, chosen: npt.NDArray[np.bool_]) -> "Examples":
        """Return the chosen rows alone."""
        return Examples(self.features[chosen], self.targets[chosen], self.weights[chosen])


def whole(features: Floats, targets: Ints) -> Examples:
    """Make examples that all weigh the same."""
    return Examples(features, targets, np.ones(len(targets)))


def softmax(logits: Floats) -> Floats:
    """Probabilities from logits, row by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    raised = np.exp(shifted)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def log_losses(probs: Floats, targets: Ints) -> Floats:
    """Negative logarithm of the probability given to the truth, row by row."""
    return np.asarray(-np.log(np.clip(probs[np.arange(len(targets)), targets], 1e-12, 1)))


def log_loss(probs: Floats, targets: Ints) -> float:
    """Mean negative logarithm of the probability given to the truth, nats."""
    return float(log_losses(probs, targets).mean())


def temperature_of(probs: Floats, targets: Ints) -> float:
    """Find the most likely temperature, within bounds, for held-out predictions."""
    logits = np.log(np.clip(probs, 1e-12, 1))

    def unlikely(change: float) -> float:
        lost = log_losses(softmax(logits / np.exp(change)), targets).sum()
        return float(lost + change**2 / (2 * USUAL_CHANGE**2))

    return float(np.exp(min(np.linspace(np.log(COOLEST), np.log(WARMEST), 41), key=unlikely)))


def warm(probs: Floats, temperature: float) -> Floats:
    """Return predictions at another temperature."""
    return softmax(np.log(np.clip(probs, 1e-12, 1)) / temperature)


def with_rehearsal(examples: Examples, rehearsal: Examples | None) -> Examples:
    """Put examples and rehearsal together, weighed against each other."""
    if rehearsal is None or not len(rehearsal.targets):
        return examples
    total = max(REHEARSAL_WEIGHT, 0.5 * float(examples.weights.sum()))
    share = rehearsal.weights * (total / float(rehearsal.weights.sum()))
    return Examples(
        np.vstack([examples.features, rehearsal.features]),
        np.concatenate([examples.targets, rehearsal.targets]),
        np.concatenate([examples.weights, share]),
    )


def fit(base: Head, examples: Examples, rehearsal: Examples | None = None, *, pull: float = PULL) -> Head:
    """Fit a head, drawn towards ``base``: accelerated gradient descent with steps as the curvature allows.

    Features are standardised by the rehearsal (all branches), else by the examples, so that the pull means
    the same for each of them.
    """
    data = with_rehearsal(examples, rehearsal)
    measure = rehearsal.features if rehearsal is not None and len(rehearsal.targets) else examples.features
    mean, spread = measure.mean(axis=0), measure.std(axis=0) + LEAST_SPREAD
    x = np.hstack([(data.features - mean) / spread, np.ones((len(data.targets), 1))]).astype(np.float32)
    start = (data.features @ base.weights.T + base.bias).astype(np.float32)
    truth = np.eye(len(base.bias), dtype=np.float32)[data.targets]
    rehearsed = slice(len(examples.targets), None)
    truth[rehearsed] = (truth[rehearsed] + softmax(start[rehearsed].astype(np.float64))) / 2
    weights = data.weights.astype(np.float32)[:, np.newaxis]
    curvature = 0.5 * float(np.linalg.norm((x * weights).T @ x, 2)) + pull
    change = np.zeros((len(base.bias), x.shape[1]), dtype=np.float32)
    ahead, momentum = change, 1.0
    for _ in range(MAX_STEPS):
        logits = start + x @ ahead.T
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        error = (raised / raised.sum(axis=1, keepdims=True) - truth) * weights
        moved = ahead - (error.T @ x + pull * ahead) / curvature
        step = moved - change
        if float((step * (ahead - moved)).sum()) > 0:
            momentum = 1.0  # it overshot: begin to gather speed again (O'Donoghue and Candes 2015)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + np.float32((momentum - 1) / following) * step
        change, momentum = moved, following
        if float(np.abs(step).max()) < STILL:
            break
    found = change.astype(np.float64)
    scaled = found[:, :-1] / spread
    return Head(base.weights + scaled, base.bias + found[:, -1] - scaled @ mean)


def cross_fit(
    base: Head, examples: Examples, groups: Ints, rehearsal: Examples | None = None, *, pull: float = PULL
) -> Floats:
    """Cross-validated predictions, by heads that saw neither the example nor its group: [n, labels].

    Every example judges once and trains in all other folds.
    """
    kinds, inverse = np.unique(groups, return_inverse=True)
    folds = np.random.default_rng(0).permutation(len(kinds)) % FOLDS
    fold = folds[inverse]
    probs = np.empty((len(examples.targets), len(base.bias)))
    for number in np.unique(fold):
        outside = fold == number
        inside = examples.some(~outside)
        head = base if outside.all() else fit(base, inside, rehearsal, pull=pull)
        probs[outside] = head.probabilities(examples.features[outside])
    return probs
