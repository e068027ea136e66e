"""The rules of how long a photo is kept. Knows no framework.

A day is 24 hours, counted from a moment: so neither the time zone of a branch, of a server or of a database,
nor daylight saving time, makes a photo's time shorter or longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_KEEP_DAYS = 365


@dataclass(frozen=True)
class Policy:
    """What a branch wants.

    Attributes:
        keep_days: how long its photos are kept after confirmation.
        keep_features: whether what was learnt from a photo outlives it, as features without the picture.
        changed_by: who said so; none where the branch has said nothing.
    """

    keep_days: int
    keep_features: bool = False
    changed_by: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True)
class Limits:
    """How long photos are kept where a branch has said nothing, and those that nobody confirms."""

    confirmed: timedelta
    unconfirmed: timedelta

    @classmethod
    def of_days(cls, confirmed: int, unconfirmed: int) -> "Limits":
        """Make limits of days."""
        return cls(timedelta(days=confirmed), timedelta(days=unconfirmed))


def kept_for(policy: Policy | None, limits: Limits) -> timedelta:
    """Return how long a branch's photos are kept after confirmation."""
    return limits.confirmed if policy is None else timedelta(days=policy.keep_days)


def due_at(
    submitted_at: datetime, confirmed_at: datetime | None, policy: Policy | None, limits: Limits
) -> datetime:
    """Return from when on a photo is to be deleted."""
    if confirmed_at is None:
        return submitted_at + limits.unconfirmed
    return confirmed_at + kept_for(policy, limits)


def kept_days(submitted_at: datetime, confirmed_at: datetime | None, deleted_at: datetime) -> int:
    """Return for how many whole days a photo was kept, as people are told."""
    return max(0, (deleted_at - (confirmed_at or submitted_at)) // timedelta(days=1))
