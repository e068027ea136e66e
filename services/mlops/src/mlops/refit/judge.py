"""Whether a new model is better than the champion, told from examples that neither has learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.refit.head import Floats, Ints, log_loss

CLASS_LEAST = 10
"""Fewest judged examples of a class for its own figure to count."""

CLASS_LOSS = 0.10
"""Most recall that a class may lose."""

HELD_OUT_LOSS = 0.01
"""Most first guesses, as a share, that may be lost on the photos that judged the shipped model."""


@dataclass(frozen=True)
class Score:
    """How a model does on the judging examples."""

    examples: int
    right: int
    loss: float
    found: npt.NDArray[np.int64]
    shown: npt.NDArray[np.int64]

    @property
    def top1(self) -> float:
        """Share of examples whose first guess is right."""
        return self.right / self.examples

    def figures(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the figures for a manifest."""
        return {
            "examples": self.examples,
            "top1": round(self.top1, 4),
            "log_loss": round(self.loss, 4),
            "classes": {
                label: {"examples": int(shown), "recall": round(float(found / shown), 4)}
                for label, found, shown in zip(labels, self.found, self.shown, strict=True)
                if shown
            },
        }


def score(probs: Floats, targets: Ints) -> Score:
    """Score probabilities [n, labels] against the truth [n]."""
    labels = probs.shape[1]
    hit = probs.argmax(axis=1) == targets
    return Score(
        examples=len(targets),
        right=int(hit.sum()),
        loss=log_loss(probs, targets),
        found=np.bincount(targets[hit], minlength=labels),
        shown=np.bincount(targets, minlength=labels),
    )


@dataclass(frozen=True)
class Contest:
    """The champion's and the candidate's scores on the same photos."""

    champion: Score
    candidate: Score


def decide(
    examples: Contest, labels: Sequence[str], *, held_out: Contest | None = None
) -> tuple[bool, list[str]]:
    """Decide whether the candidate takes over, with the reasons for people to read.

    It must guess right at least as often, be less surprised by the truth, not lose a class, and not forget
    what the shipped model knew.
    """
    champion, candidate = examples.champion, examples.candidate
    reasons = [
        f"first guess right: {candidate.right} against the champion's {champion.right} "
        f"of {champion.examples} judging examples",
        f"log loss: {candidate.loss:.4f} against the champion's {champion.loss:.4f}",
    ]
    good = candidate.right >= champion.right and candidate.loss < champion.loss
    for index, label in enumerate(labels):
        shown = int(champion.shown[index])
        if shown < CLASS_LEAST:
            continue
        lost = float(champion.found[index] - candidate.found[index]) / shown
        if lost > CLASS_LOSS:
            good = False
            reasons.append(f"{label}: {lost:.0%} of its {shown} examples are lost")
    if held_out is None:
        reasons.append("nothing ships with this model to tell whether it forgot what it knew before")
    else:
        before, after = held_out.champion, held_out.candidate
        reasons.append(
            f"on the shipped model's own held-out photos: {after.right} right against the champion's "
            f"{before.right} of {before.examples}"
        )
        good = good and before.right - after.right <= HELD_OUT_LOSS * before.examples
    reasons.append("promoted: it is better and has forgotten nothing" if good else "not promoted")
    return good, reasons
