"""The bodies of HTTP requests and answers."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from laundry_service.auth.claims import MAX_SUBJECT
from laundry_service.http.validation import RequestBody
from operations.erasures import Erasure
from operations.jobs import Job
from operations.service.letters import LetterSummary


class QueueOut(BaseModel):
    """A queue with what belongs to it; rates are messages per second."""

    name: str
    kind: Literal["quorum", "stream"]
    purpose: str
    ready: int
    unacked: int
    publish_rate: float
    deliver_rate: float
    consumers: int
    oldest_age_s: float | None
    oldest_age_bound: Literal["at_least", "at_most"] | None
    state: str
    waiting_for_retry: int
    dead_letters: int
    warnings: list[str]


class QueuePage(BaseModel):
    """Every queue of the plan."""

    items: list[QueueOut]
    as_of: datetime


class LetterOut(BaseModel):
    """A dead letter without its body. ``id`` is the message's id, or its fingerprint if it has none."""

    queue: str
    id: str
    fingerprint: str
    reason: str
    error_class: str | None
    error_message: str | None
    event_type: str | None
    died_at: datetime | None
    attempts: int | None
    redriven: int
    trace_id: str | None
    bytes: int

    @classmethod
    def of(cls, letter: LetterSummary) -> "LetterOut":
        """Make the body of a letter."""
        return cls(
            queue=letter.queue,
            id=letter.id,
            fingerprint=letter.fingerprint,
            reason=letter.reason,
            error_class=letter.error_class or None,
            error_message=letter.error_message or None,
            event_type=letter.event_type or None,
            died_at=letter.died_at,
            attempts=letter.attempts,
            redriven=letter.redriven,
            trace_id=letter.trace_id,
            bytes=letter.bytes,
        )


class GroupOut(BaseModel):
    """Letters of one queue that died for the same reason."""

    queue: str
    reason: str
    error_class: str | None
    count: int
    redriven: int
    oldest: datetime | None


class LookedOut(BaseModel):
    """How many letters wait in a queue, and how many of them were looked at for the groups."""

    queue: str
    waiting: int
    looked_at: int
    as_of: datetime


class LetterPage(BaseModel):
    """Dead letters, oldest first in each queue; ``groups`` count all that were looked at."""

    items: list[LetterOut]
    groups: list[GroupOut]
    queues: list[LookedOut]
    next_cursor: str | None


class ActIn(RequestBody):
    """What to do with which dead letters."""

    queue: str
    reason: str | None = Field(default=None, max_length=200, description="A reason or an error class")
    ids: list[str] = Field(default=[], max_length=500)
    limit: int = Field(default=1000, ge=1, le=10_000)
    rate: float = Field(default=20.0, ge=0.1, le=1000, description="At most so many a second")
    why: str = Field(default="", max_length=500, description="Kept with each; needed to execute")
    dry_run: bool = True
    plan: UUID | None = Field(default=None, description="id of a dry run: exactly its letters are meant")


class JobOut(BaseModel):
    """A plan or a job."""

    id: UUID
    action: str
    state: Literal["planned", "queued", "running", "succeeded", "failed", "cancelled"]
    queue: str
    reason: str | None
    ids: list[str]
    limit: int
    rate: float
    why: str
    by: str
    total: int | None
    done: int
    missing: int | None
    preview: dict[str, Any] | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """Make the body of a job."""
        values = {name: getattr(job, name) for name in cls.model_fields if name != "limit"}
        return cls(**{**values, "ids": list(job.ids)}, limit=job.at_most)


class JobPage(BaseModel):
    """The latest jobs, the newest first."""

    items: list[JobOut]
    next_cursor: None = None


class AuditPage(BaseModel):
    """A page of audit records, the newest first."""

    items: list[dict[str, Any]]
    next_cursor: int | None


class PersonRequest(RequestBody):
    """Whom it is about."""

    person: str = Field(min_length=1, max_length=MAX_SUBJECT, description="The sub of the person's tokens")


class ErasureRequest(RequestBody):
    """That a person is to be forgotten."""

    confirm: Literal["erase"] = Field(description="The word, since it cannot be taken back")
    reason: str | None = Field(
        default=None, min_length=1, max_length=500, description="Why; kept in the audit, so name nobody"
    )


class PersonErasureRequest(ErasureRequest, PersonRequest):
    """That anybody is to be forgotten."""


class ErasurePartOut(BaseModel):
    """What one service has confirmed; ``rows`` of each kind were deleted, or name nobody any more."""

    service: str
    forgotten_at: datetime | None
    rows: dict[str, int]


class ErasureOut(BaseModel):
    """How far the forgetting of a person is.

    ``running`` until every service has confirmed, ``settling`` until nothing can bring the person back: no
    earlier token, message or dead letter. ``waiting_for`` names what it waits for now.
    """

    id: str
    state: Literal["running", "settling", "completed"]
    requested_at: datetime
    completed_at: datetime | None
    waiting_for: list[str]
    dead_letters: int | None
    parts: list[ErasurePartOut]

    @classmethod
    def of(cls, erasure: Erasure) -> "ErasureOut":
        """Make the body of an erasure; whom it is about is not told."""
        return cls(
            id=erasure.id,
            state=erasure.state,
            requested_at=erasure.requested_at,
            completed_at=erasure.completed_at,
            waiting_for=list(erasure.missing) if erasure.completed_at is None else [],
            dead_letters=erasure.dead_letters,
            parts=[
                ErasurePartOut(service=part.service, forgotten_at=part.forgotten_at, rows=part.rows)
                for part in erasure.parts
            ],
        )


class ErasurePage(BaseModel):
    """A page of erasures, the newest first."""

    items: list[ErasureOut]
    next_cursor: str | None
