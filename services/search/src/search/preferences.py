"""Preferences as stored, and the results of matching."""

from dataclasses import dataclass
from datetime import datetime

Tags = dict[str, float]


@dataclass(frozen=True)
class Taste:
    """What a customer likes."""

    tags: Tags
    updated_at: datetime


@dataclass(frozen=True)
class NewPreference:
    """What an owner states about his branch."""

    id: str
    branch_id: str
    title: str
    text: str
    tags: Tags
    created_by: str
    idempotency_key: str | None


@dataclass(frozen=True)
class Preference:
    """A stated preference, with the number of customers whom it suited then."""

    id: str
    branch_id: str
    title: str
    text: str
    tags: Tags
    matched: int
    created_at: datetime


class KeyReused(Exception):
    """The Idempotency-Key was used for another preference."""


class MatchingTooSlow(Exception):
    """There are too many customers to match within the time for it; nothing was kept."""


def says_the_same(known: Preference, new: NewPreference) -> bool:
    """Whether a repeated key comes with the same preference."""
    return (known.title, known.text, known.tags) == (new.title, new.text, new.tags)


@dataclass(frozen=True)
class SuitableBranch:
    """A branch that suits a customer, by the one of its preferences that suits best."""

    score: float
    preference: Preference
