"""How much more, or less, often a branch sends each class than the model supposes.

A model's probabilities hold for the mix of classes that it was taught with. A branch that sends another mix
is read better when each probability is multiplied by the ratio of the two and the sum made one again
(Bayes' rule; Saerens, Latinne and Decaestecker 2002). A branch that is not known is read as before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

F = TypeVar("F", bound=np.floating[Any])

MOST = 8.0
"""Most that a probability is multiplied or divided by: what a branch never sent may come tomorrow."""


class BrokenPriors(ValueError):
    """What is stored is no ratio for each class of each branch."""


class BranchPriors:
    """By branch, the share of each class there divided by its share in what the model was taught with."""

    def __init__(self, ratios: Mapping[str, Sequence[float]] | None = None, *, labels: int) -> None:
        """Take the ratios, one for each of so many labels, each from 1/``MOST`` to ``MOST``.

        Raises:
            BrokenPriors: they are not.
        """
        self._ratios: dict[str, npt.NDArray[np.float32]] = {}
        for branch_id, own in (ratios or {}).items():
            if len(own) != labels or not all(math.isfinite(r) and 1 / MOST <= r <= MOST for r in own):
                raise BrokenPriors(
                    f"branch {branch_id!r} needs {labels} ratios from {1 / MOST:g} to {MOST:g}, not {own!r}"
                )
            self._ratios[branch_id] = np.array(own, dtype=np.float32)

    def __len__(self) -> int:
        return len(self._ratios)

    def applied(self, probs: npt.NDArray[F], branch_id: str | None) -> npt.NDArray[F]:
        """Return probabilities [labels] or [n, labels] as they are for photos of a branch."""
        ratios = self._ratios.get(branch_id) if branch_id is not None else None
        if ratios is None:
            return probs
        raised = probs * ratios
        return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=probs.dtype)

    def to_json(self) -> str:
        """Write them for a model's metadata."""
        return json.dumps(
            {branch: [round(float(r), 4) for r in own] for branch, own in sorted(self._ratios.items())}
        )

    @classmethod
    def from_json(cls, text: str, *, labels: int) -> BranchPriors:
        """Read what ``to_json`` wrote.

        Raises:
            BrokenPriors: it is something else.
        """
        try:
            found = json.loads(text)
            return cls({branch: [float(r) for r in own] for branch, own in found.items()}, labels=labels)
        except BrokenPriors:
            raise
        except (ValueError, TypeError, AttributeError) as error:
            raise BrokenPriors(f"no ratios by branch: {error}") from error
