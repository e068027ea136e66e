"""What can be learnt from a confirmed task, and which branches are held out. Knows no server and no
framework."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from laundry_events.events import CountedLabel, ReadLabel
from laundry_learning.curation import Role

Side = Literal["learning", "holdout"]

HOLDOUT_SHARE = 0.2
FIRST_BRANCHES = 8
"""So many branches learn before any stands aside: a small chain has none to spare, and other photos judge."""


@dataclass(frozen=True)
class Example:
    """A confirmed task, with the side on which its branch stands."""

    id: str
    task_id: str
    branch_id: str
    side: Side
    photo_key: str
    photo_sha256: str
    read_labels: list[ReadLabel]
    model_version: str | None
    labels: list[CountedLabel]
    corrected: bool
    confirmed_by: str
    confirmed_at: datetime


@dataclass(frozen=True)
class ExampleUse:
    """What a run made of an example, and why if it left it out."""

    run_id: str
    role: Role
    reason: str | None


@dataclass(frozen=True)
class ConfirmedReading:
    """What a model read on a photo, what a person confirmed, and whether the two differ."""

    read_labels: list[ReadLabel]
    labels: list[CountedLabel]
    corrected: bool


@dataclass(frozen=True)
class LabelCount:
    """How many labels a person confirmed, and how many of them corrected a reading."""

    confirmed_by: str
    labels: int
    corrected: int


class StoredLabelQuality(BaseModel):
    """How a person labels, as a run found and kept it (``laundry_learning.curation.LabelQuality``)."""

    model_config = ConfigDict(frozen=True)

    labels: int | None = None
    corrections: int | None = None
    contradicted: int | None = None
    contrary: int | None = None
    careless: bool | None = None


def side_of(branch_id: str, branches_before: int) -> Side:
    """Assign a new branch to training or holdout; it stays there for good.

    Whole branches are held out, not single photos: photos of one household are alike, and would flatter a
    model that has learnt the others.
    """
    if branches_before < FIRST_BRANCHES:
        return "learning"
    drawn = hashlib.sha256(f"holdout-1:{branch_id}".encode()).digest()
    return "holdout" if int.from_bytes(drawn[:8], "big") < HOLDOUT_SHARE * 2**64 else "learning"


def single_label(labels: Sequence[CountedLabel], known: Sequence[str]) -> int | None:
    """Return the class number of a photo that shows one kind of garment.

    None when people counted several kinds of garment on it or one that the model does not know: a model
    that says one class a photo cannot learn from these.
    """
    names = {each.label for each in labels}
    if len(names) != 1:
        return None
    name = names.pop()
    return known.index(name) if name in known else None
