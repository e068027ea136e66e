"""The bodies of HTTP requests and answers."""

import re
from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from helper.retention import MAX_KEEP_DAYS
from helper.tasks import Status, Task
from laundry_events.events import CountedLabel, ReadLabel
from laundry_events.moments import Moment
from laundry_service.http.problems import ProblemDocument
from laundry_service.http.validation import RequestBody

LONGEST_UNDO_S = 120
BRANCH = re.compile(r"[a-z0-9-]{1,40}")
REPLAYED = "Idempotent-Replay"
"""A header: an earlier request did what this one asks."""


class LabelBody(BaseModel):
    """One kind of garment and how many of it."""

    model_config = ConfigDict(strict=True)

    label: Annotated[str, Field(min_length=1, max_length=80, examples=["t-shirt"])]
    count: Annotated[int, Field(ge=1, le=999)] = 1


class ConfirmationRequest(RequestBody):
    """What the owner says the laundry is: the reading as it was, or corrected."""

    labels: Annotated[list[LabelBody], Field(min_length=1, max_length=50)]
    undo_s: Annotated[
        int,
        Field(
            ge=0,
            le=LONGEST_UNDO_S,
            strict=True,
            description="For so many seconds DELETE takes it back; it is learnt from only after them",
        ),
    ] = 0

    def counted(self) -> list[CountedLabel]:
        """Return the labels as the events carry them."""
        return [CountedLabel(label=item.label, count=item.count) for item in self.labels]


class PhotoBody(BaseModel):
    """A photo's facts; its bytes are at ``/tasks/{id}/photo``."""

    media_type: str
    bytes: int
    sha256: str
    deleted_at: Moment | None = Field(
        default=None, description="From then on there is no photo: branches keep them for a time only"
    )


class ReadingBody(BaseModel):
    """What the model saw."""

    labels: list[ReadLabel]
    needs_review: bool
    multiple: bool
    model_version: str
    read_at: Moment


class ConfirmationBody(BaseModel):
    """What the owner said."""

    labels: list[CountedLabel]
    corrected: bool
    confirmed_by: str
    confirmed_at: Moment
    undo_until: Moment | None = Field(default=None, description="Until then it can be taken back")


class TaskBody(BaseModel):
    """One photo of laundry; those of one load have its ``load_id`` in common."""

    id: str
    branch_id: str
    helper_id: str
    note: str | None
    status: Status
    version: int
    submitted_at: Moment
    photo: PhotoBody
    reading: ReadingBody | None
    unreadable_reason: str | None
    confirmation: ConfirmationBody | None
    load_id: str | None
    replaced_by: str | None

    @classmethod
    def of(cls, task: Task) -> Self:
        """Make the body of a task; keys of stored objects are left out."""
        photo, reading, confirmation = task.photo, task.reading, task.confirmation
        return cls(
            id=task.id,
            branch_id=task.branch_id,
            helper_id=task.helper_id,
            note=task.note,
            status=task.status,
            version=task.version,
            submitted_at=task.submitted_at,
            photo=PhotoBody(
                media_type=photo.media_type,
                bytes=photo.bytes,
                sha256=photo.sha256,
                deleted_at=task.photo_deleted_at,
            ),
            reading=reading
            and ReadingBody(
                labels=list(reading.labels),
                needs_review=reading.needs_review,
                multiple=reading.multiple,
                model_version=reading.model_version,
                read_at=reading.read_at,
            ),
            unreadable_reason=task.unreadable_reason,
            confirmation=confirmation
            and ConfirmationBody(
                labels=list(confirmation.labels),
                corrected=confirmation.corrected,
                confirmed_by=confirmation.confirmed_by,
                confirmed_at=confirmation.confirmed_at,
                undo_until=confirmation.undo and confirmation.undo.until,
            ),
            load_id=task.load_id,
            replaced_by=task.replaced_by,
        )


class PhotoPolicyRequest(RequestBody):
    """How long a branch keeps its photos, and whether what was learnt from them is kept for longer."""

    keep_days: Annotated[int, Field(ge=1, le=MAX_KEEP_DAYS, strict=True)]
    keep_features: bool


class PhotoPolicyBody(BaseModel):
    """How a branch keeps its photos; by nobody's word where ``changed_at`` is null."""

    branch_id: str
    keep_days: int = Field(description="After confirmation; then a photo and its pictures are deleted")
    keep_features: bool = Field(
        description="Whether what was learnt from a photo is kept beyond that, without the picture"
    )
    unconfirmed_days: int = Field(description="So long is kept what nobody confirms")
    changed_by: str | None
    changed_at: Moment | None


class PreviewBody(BaseModel):
    """What the model sees in a photo that is not submitted."""

    labels: list[ReadLabel]
    needs_review: bool
    multiple: bool
    model_version: str


class BatchItem(BaseModel):
    """The answer to one photo of several: the task it made, or what is wrong with it."""

    status: int = Field(description="What POST /tasks would have answered this photo", examples=[201])
    replayed: bool = Field(default=False, description="An earlier request had made the task")
    task: TaskBody | None = None
    problem: ProblemDocument | None = None


class BatchBody(BaseModel):
    """An answer for each photo, in their order."""

    items: list[BatchItem]


class TaskList(BaseModel):
    """Tasks, newest first; ``next_cursor`` leads to the older ones."""

    items: list[TaskBody]
    next_cursor: str | None


class LabelList(BaseModel):
    """What may be confirmed."""

    items: list[str]
    next_cursor: None = None


class DayBody(BaseModel):
    """The confirmed loads of one day."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    loads: int
    corrected: int


class WashedBody(BaseModel):
    """One class of laundry on one day."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    label: str
    pieces: int
    loads: int = Field(description="Loads that held some of it")
    corrected: int = Field(description="Those of them whose reading the owner corrected")


class WashedList(BaseModel):
    """What was washed, by the days of a time zone; days without a confirmed load are left out."""

    time_zone: str
    first_day: date
    last_day: date
    days: list[DayBody]
    items: list[WashedBody]
    next_cursor: None = None
