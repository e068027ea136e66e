"""What goes in and out by HTTP."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from mlops.repository import Row
from mlops.runs import Kind, Status


class ModelBody(BaseModel):
    """A model."""

    version: str
    champion: bool
    labels: list[str]
    sha256: str
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    source: str
    created_at: datetime


class ModelPage(BaseModel):
    """Models, newest first."""

    items: list[ModelBody]
    next_cursor: str | None


class Decision(BaseModel):
    """Whether a run's model became the champion, and why."""

    promoted: bool
    reasons: list[str]


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
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    """Training runs, newest first."""

    items: list[RunBody]
    next_cursor: str | None


class NewRun(BaseModel):
    """What to train: ``refit`` the last layer on confirmed examples, or ``full`` from the photos."""

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
        created_at=row["made_at"],
    )


def run_body(row: Row) -> RunBody:
    """Show a training run."""
    return RunBody.model_validate(dict(row))
