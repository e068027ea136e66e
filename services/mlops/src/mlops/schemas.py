"""What goes in and out by HTTP."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from laundry_service.request_text import RequestBody
from mlops.repository import Row
from mlops.runs import Kind, Status


class Check(BaseModel):
    """One thing that judging looked at."""

    name: str
    passed: bool
    text: str
    figures: dict[str, Any] = {}


class Decision(BaseModel):
    """Whether a run's model became the champion, and why."""

    promoted: bool
    reasons: list[str]
    checks: list[Check] = []


class Verdict(BaseModel):
    """What judging a model against a champion found."""

    good: bool
    against: str
    reasons: list[str]
    checks: list[Check]


class ModelBody(BaseModel):
    """A model."""

    version: str
    champion: bool
    labels: list[str]
    sha256: str
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    source: str
    verdict: Verdict | None = None
    created_at: datetime


class ModelPage(BaseModel):
    """Models, newest first."""

    items: list[ModelBody]
    next_cursor: str | None


class Override(RequestBody):
    """Why a model is promoted that judging did not find good; kept for good with the name of who says it."""

    override_reason: str | None = Field(default=None, min_length=10, max_length=500)


class PromotionBody(BaseModel):
    """Who made which model the champion, and how."""

    id: str
    version: str
    previous_version: str | None
    kind: Literal["shipped", "run", "person", "rollback"]
    promoted_by: str
    override_reason: str | None
    promoted_at: datetime
    announced_at: datetime | None


class PromotionPage(BaseModel):
    """Promotions, newest first."""

    items: list[PromotionBody]
    next_cursor: str | None = None


class LogLine(BaseModel):
    """A line of a run's log."""

    created_at: datetime
    text: str


class LogPage(BaseModel):
    """A run's log, in order."""

    items: list[LogLine]
    next_cursor: str | None = None


class RunBody(BaseModel):
    """A training run."""

    id: str
    kind: Kind
    status: Status
    progress: float
    model_version: str | None
    decision: Decision | None
    error: str | None
    requested_by: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    """Training runs, newest first."""

    items: list[RunBody]
    next_cursor: str | None


class ExampleBody(BaseModel):
    """A confirmed task with its lineage, and what the last run that looked made of it."""

    id: str
    task_id: str
    branch_id: str
    side: Literal["learning", "holdout"]
    photo_sha256: str
    read_labels: list[dict[str, Any]]
    model_version: str | None
    labels: list[dict[str, Any]]
    corrected: bool
    confirmed_by: str
    confirmed_at: datetime
    run_id: str | None = None
    role: Literal["learnt", "judging", "left out"] | None = None
    reason: str | None = None


class ExamplePage(BaseModel):
    """Examples, newest first."""

    items: list[ExampleBody]
    next_cursor: str | None


class NewRun(RequestBody):
    """What to train: ``refit`` the last layer (seconds), or ``full``: fine-tune the network (minutes)."""

    kind: Kind


def model_body(row: Row) -> ModelBody:
    """Show a model."""
    manifest = row["manifest"]
    return ModelBody(
        version=row["version"],
        champion=row["champion"],
        labels=manifest["labels"],
        sha256=row["sha256"],
        metrics=manifest["metrics"],
        lineage=manifest["lineage"],
        source=row["source"],
        verdict=row["verdict"],
        created_at=row["made_at"],
    )


def run_body(row: Row) -> RunBody:
    """Show a training run."""
    return RunBody.model_validate(dict(row))
