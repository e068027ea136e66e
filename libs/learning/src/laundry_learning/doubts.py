"""What a model says of photos beside their classes, which keeps a reading from being accepted."""

from dataclasses import dataclass

import numpy as np

from laundry_learning.head import Floats
from laundry_learning.statistics import Bools


@dataclass(frozen=True)
class Doubts:
    """Why a model leaves photos to a person however sure it is of a class.

    Attributes:
        known: chance 0..1 that it is any of the classes, [n]; NaN where the model was not asked.
        several: whether it sees more than one garment, [n].
    """

    known: Floats
    several: Bools

    @classmethod
    def of_none(cls, count: int) -> "Doubts":
        """Return those of a model that has none, of so many photos."""
        return cls(np.ones(count), np.zeros(count, dtype=np.bool_))

    def accepts(self, confidence: Floats, threshold: float) -> Bools:
        """Say which photos are accepted without a person, as ``Model.interpret`` does; by confidence alone
        where the model was not asked."""
        return (confidence * np.where(self.asked, self.known, 1.0) >= threshold) & ~self.several

    @property
    def asked(self) -> Bools:
        """Of which photos the model was asked, [n]."""
        return ~np.isnan(self.known)

    def followed_by(self, more: int) -> "Doubts":
        """Return them with so many photos more of which the model was not asked."""
        return Doubts(
            np.concatenate([self.known, np.full(more, np.nan)]),
            np.concatenate([self.several, np.zeros(more, dtype=np.bool_)]),
        )
