"""How well a branch suits a customer. Pure rules; ``repository`` does the same sum in SQL for many at once.

Both sides weigh tags from 0 to 1. The score is the weighted Sørensen-Dice coefficient: twice what both
share over all that both name::

    score = 2 · Σ min(taste, offer) / (Σ taste + Σ offer)

It lies between 0 (nothing in common) and 1 (the same tags with the same weights), does not depend on which
side asks, and is a plain sum over shared tags, so that each tag's share is the reason it gives. A branch that
claims every tag suits nobody better: what it names and a customer does not want lowers its score.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_REASONS = 5


@dataclass(frozen=True)
class Share:
    """What one tag adds to a score.

    Attributes:
        adds: the tag's part of the score; all of them sum up to it.
    """

    tag: str
    taste: float
    offer: float
    adds: float


@dataclass(frozen=True)
class Suitability:
    """A score and how it comes about, the strongest tag first."""

    score: float
    shares: tuple[Share, ...]

    @property
    def reasons(self) -> list[str]:
        """The tags that made the score, strongest first."""
        return [share.tag for share in self.shares[:MAX_REASONS]]


def suitability(taste: Mapping[str, float], offer: Mapping[str, float]) -> Suitability:
    """Score a branch's offer against a customer's taste, weights 0 to 1 by tag."""
    named = sum(taste.values()) + sum(offer.values())
    shared = {tag: min(weight, offer.get(tag, 0.0)) for tag, weight in taste.items()}
    shares = [
        Share(tag, taste[tag], offer[tag], 2 * common / named) for tag, common in shared.items() if common > 0
    ]
    shares.sort(key=lambda share: (-share.adds, share.tag))
    return Suitability(min(1.0, sum(share.adds for share in shares)), tuple(shares))
