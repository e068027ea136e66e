"""Bodies of HTTP requests and answers, and how they are made from the domain."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from laundry_events.events import CountedLabel, ReadLabel
from laundry_learning.curation import Role
from laundry_reading.replicas import Refused, Shadow, Shadowed
from laundry_service.http.validation import RequestBody
from mlops.examples import Example, ExampleUse, LabelCount, Side, StoredLabelQuality
from mlops.models import Judgement, Promotion, PromotionKind, RegisteredModel
from mlops.runs import Decision, Kind, LogLine, Status, TrainingRun


class ModelBody(BaseModel):
    """A model with what it was made from, how good it is, and what judging it found."""

    version: str
    champion: bool
    labels: list[str]
    sha256: str
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    source: str
    verdict: Judgement | None = None
    created_at: datetime


class ModelPage(BaseModel):
    """A page of models, the newest first."""

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
    kind: PromotionKind
    promoted_by: str
    override_reason: str | None
    promoted_at: datetime
    announced_at: datetime | None


class PromotionPage(BaseModel):
    """The latest promotions, the newest first."""

    items: list[PromotionBody]
    next_cursor: str | None = None


class LogPage(BaseModel):
    """A run's log, in order."""

    items: list[LogLine]
    next_cursor: str | None = None


class RunBody(BaseModel):
    """A training run, its progress 0..1, and what came of it."""

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
    """A confirmed task with its lineage, and what the latest run did with it."""

    id: str
    task_id: str
    branch_id: str
    side: Side
    photo_sha256: str
    read_labels: list[ReadLabel]
    model_version: str | None
    labels: list[CountedLabel]
    corrected: bool
    confirmed_by: str
    confirmed_at: datetime
    run_id: str | None = None
    role: Role | None = None
    reason: str | None = None


class ExamplePage(BaseModel):
    """A page of examples, the newest first."""

    items: list[ExampleBody]
    next_cursor: str | None


class NewRun(RequestBody):
    """What to train: ``refit`` the last layer (seconds), or ``full``: fine-tune the network (minutes)."""

    kind: Kind


class OwnerBody(BaseModel):
    """A labeller's record, as of the latest training run; ``careless`` labels are not trained on."""

    confirmed_by: str
    labels: int
    corrected: int
    new_labels: int | None = None
    corrections: int | None = None
    contradicted: int | None = None
    contrary: int | None = None
    careless: bool | None = None


class OwnerPage(BaseModel):
    """People, those with the most labels first."""

    items: list[OwnerBody]
    next_cursor: str | None = None


class ReplicaBody(BaseModel):
    """A replica that was seen lately. ``in_step``: it serves the champion."""

    replica: str
    version: str | None
    sha256: str | None
    since: datetime | None
    seen_at: datetime
    in_step: bool
    refused: Refused | None
    shadow: Shadowed | None


class ReplicaPage(BaseModel):
    """Replicas by name; ``champion`` is what each should serve, ``shadow`` what may read alongside."""

    items: list[ReplicaBody]
    champion: str | None
    shadow: Shadow | None
    next_cursor: str | None = None


class WantedShadow(RequestBody):
    """Of which share of the photos the model reads alongside."""

    share: float = Field(default=0.1, gt=0, le=1)


def model_body(model: RegisteredModel) -> ModelBody:
    """Show a model, with metrics and lineage from its manifest."""
    return ModelBody(
        version=model.version,
        champion=model.champion,
        labels=model.manifest.labels,
        sha256=model.sha256,
        metrics=model.manifest.metrics,
        lineage=model.manifest.lineage,
        source=model.source,
        verdict=model.verdict,
        created_at=model.made_at,
    )


def promotion_body(promotion: Promotion) -> PromotionBody:
    """Show who promoted a model, how, and whether the replicas were told."""
    return PromotionBody(**asdict(promotion))


def run_body(run: TrainingRun) -> RunBody:
    """Show a training run."""
    return RunBody.model_validate(run, from_attributes=True)


def example_body(example: Example, use: ExampleUse | None) -> ExampleBody:
    """Show an example, and what a run made of it if one looked."""
    found = ExampleBody.model_validate(example, from_attributes=True)
    return found if use is None else found.model_copy(update=asdict(use))


def owner_body(count: LabelCount, quality: StoredLabelQuality | None) -> OwnerBody:
    """Show how much a person labelled, and how well if a run looked."""
    quality = quality or StoredLabelQuality()
    return OwnerBody(
        confirmed_by=count.confirmed_by,
        labels=count.labels,
        corrected=count.corrected,
        new_labels=quality.labels,
        corrections=quality.corrections,
        contradicted=quality.contradicted,
        contrary=quality.contrary,
        careless=quality.careless,
    )
