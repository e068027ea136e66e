"""How much more, or less, often a branch sends each class than the model supposes.

A model's probabilities hold for the mix of classes that it was taught with. A branch that sends another mix
is read better when each probability is multiplied by the ratio of the two and the sum made one again
(Bayes' rule; Saerens, Latinne and Decaestecker 2002). A branch that is not known is read as before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    def __init__(self, ratios: Mapping[str, list[float]] | None = None, *, labels: int) -> None:
        """Take the ratios, one for each of so many labels, each from 1/``MOST`` to ``MOST``.

        Raises:
            BrokenPriors: they are not.
        """
        self._ratios: dict[str, npt.NDArray[np.float32]] = {}
        for branch_id, own in (ratios or {}).items():
            if not isinstance(own, list) or len(own) != labels or not all(map(_is_ratio, own)):
                raise BrokenPriors(f"{branch_id!r} needs {labels} ratios from {1 / MOST:g} to {MOST:g}")
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
        except (ValueError, RecursionError) as error:
            raise BrokenPriors(f"no ratios by branch: {type(error).__name__}") from error
        if not isinstance(found, dict):
            raise BrokenPriors("no ratios by branch")
        return cls(found, labels=labels)


def _is_ratio(value: object) -> bool:
    # A boolean is an integer to Python; NaN is in no range.
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 / MOST <= value <= MOST
