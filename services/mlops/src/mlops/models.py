"""Models, their promotions, and which of them may replace the champion. Knows no server and no framework."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from laundry_learning.judging import Check
from laundry_reading.manifest import Manifest

Source = Literal["shipped", "refit", "full"]
PromotionKind = Literal["shipped", "run", "person", "rollback"]


class BrokenModel(Exception):
    """The model's file is missing or not what its manifest says, or no replica would read the manifest."""


class Judgement(BaseModel):
    """What judging a model against a champion found, as it is kept with the model.

    ``against`` is that champion's version; ``reasons`` are what the checks found, for people.
    """

    model_config = ConfigDict(frozen=True)

    good: bool
    against: str
    reasons: list[str]
    checks: list[Check]


@dataclass(frozen=True)
class RegisteredModel:
    """A model; ``verdict`` is None if it was never judged, ``run_id`` if no run made it."""

    id: str
    version: str
    sha256: str
    manifest: Manifest
    source: Source
    run_id: str | None
    champion: bool
    verdict: Judgement | None
    made_at: datetime


@dataclass(frozen=True)
class Promotion:
    """Who made which model the champion, and how; ``announced_at`` is None until the replicas were told."""

    id: str
    version: str
    previous_version: str | None
    kind: PromotionKind
    promoted_by: str
    override_reason: str | None
    promoted_at: datetime
    announced_at: datetime | None


@dataclass(frozen=True)
class PendingPromotion(Promotion):
    """A promotion that waits to be announced, with the hash of its model's file."""

    sha256: str


def why_not_promoted(model: RegisteredModel, champion: RegisteredModel) -> str | None:
    """Return why a model that never served may not replace the champion; None if it may."""
    verdict = model.verdict
    if verdict is None:
        return (
            f"{model.version} was never judged against the champion {champion.version}. "
            "A training run judges what it makes."
        )
    if verdict.against != champion.version:
        return (
            f"{model.version} was judged against {verdict.against}, and {champion.version} is the "
            "champion now. Start a new run."
        )
    if not verdict.good:
        failed = "; ".join(check.text for check in verdict.checks if not check.passed)
        return f"{model.version} did not pass: {failed}."
    return None
