"""The rules of a task: a photo is submitted, read by a model, confirmed by the branch's owner.

A helper who takes a photo again withdraws the one before: nobody confirms that, and no reading of it counts.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from laundry_events.events import (
    CountedLabel,
    Photo,
    Pictures,
    ReadLabel,
    TaskConfirmed,
    TaskRead,
    TaskSubmitted,
)

Status = Literal["submitted", "read", "unreadable", "confirmed", "withdrawn"]
FINAL: tuple[Status, ...] = ("confirmed", "withdrawn")
"""Nothing changes a task after that."""


class UnknownLabels(Exception):
    """A label is not one of the model's classes."""

    def __init__(self, unknown: Sequence[str], allowed: Sequence[str]) -> None:
        super().__init__(f"unknown: {', '.join(unknown)}")
        self.unknown = unknown
        self.allowed = allowed


class RepeatedLabels(Exception):
    """A label is named more than once."""


class NotReadYet(Exception):
    """The photo has not been read yet, so there is nothing to confirm."""


class AlreadyConfirmed(Exception):
    """The task was confirmed with other labels."""


class TooLate(Exception):
    """The confirmation counts already: what was learnt from it cannot be taken back."""


class ConfirmedByAnother(Exception):
    """Somebody else confirmed the task; only he may take that back."""


class Withdrawn(Exception):
    """The helper took the photo again; another task has the new one."""


class NotReplaceable(Exception):
    """A photo cannot take the place of another: ``why`` is "unknown", "confirmed" or "too-old"."""

    def __init__(self, why: Literal["unknown", "confirmed", "too-old"]) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class TaskReading:
    """What the model saw."""

    labels: tuple[ReadLabel, ...]
    needs_review: bool
    model_version: str
    read_at: datetime
    multiple: bool = False


@dataclass(frozen=True)
class Undo:
    """Until when a confirmation may be taken back: so long its event waits in the outbox."""

    event_id: str
    until: datetime


@dataclass(frozen=True)
class Confirmation:
    """What the owner says it is."""

    labels: tuple[CountedLabel, ...]
    corrected: bool
    confirmed_by: str
    confirmed_at: datetime
    undo: Undo | None = None


@dataclass(frozen=True)
class Task:
    """One photo of laundry. ``version`` rises with each change.

    Attributes:
        load_id: what the photos of one load have in common, as its helper's client named it.
        replaced_by: the task of the photo that took this one's place.
    """

    id: str
    branch_id: str
    helper_id: str
    photo: Photo
    submitted_at: datetime
    note: str | None = None
    status: Status = "submitted"
    version: int = 1
    reading: TaskReading | None = None
    unreadable_reason: str | None = None
    confirmation: Confirmation | None = None
    pictures: Pictures | None = None
    photo_deleted_at: datetime | None = None
    photo_gone_at: datetime | None = None
    original_deleted_at: datetime | None = None
    load_id: str | None = None
    replaced_by: str | None = None

    @property
    def stored(self) -> list[str]:
        """The keys of everything stored for the task; deleting a task means deleting these."""
        if self.photo_gone_at is not None:
            return []
        made = [] if self.pictures is None else [self.pictures.display.key, self.pictures.thumbnail.key]
        return made if self.original_deleted_at is not None else [self.photo.key, *made]


def photo_key(branch_id: str, task_id: str, at: datetime, extension: str) -> str:
    """Name the photo's object. It is unique to the task, so that nothing is ever overwritten; the true
    extension is there because some stores guess the media type from it.
    """
    return f"photos/{branch_id}/{at:%Y}/{at:%m}/{task_id}.{extension}"


def pictures_folder(branch_id: str, task_id: str) -> str:
    """Name where the pictures of a task's photo lie."""
    return f"pictures/{branch_id}/{task_id}/"


def submission_key(idempotency_key: str | None, branch_id: str, sha256: str) -> str:
    """Name what makes two uploads of a helper the same: his key, else the photo and its branch."""
    return f"key:{idempotency_key}" if idempotency_key is not None else f"photo:{branch_id}:{sha256}"


def same_submission(task: Task, branch_id: str, sha256: str) -> bool:
    """Whether an upload that repeats a key is the one that made the task."""
    return task.branch_id == branch_id and task.photo.sha256 == sha256


def check_labels(labels: Sequence[CountedLabel], allowed: Sequence[str]) -> None:
    """Refuse labels that no model could have read, or that are named twice.

    Raises:
        UnknownLabels, RepeatedLabels.
    """
    unknown = sorted({item.label for item in labels} - set(allowed))
    if unknown:
        raise UnknownLabels(unknown, allowed)
    if len({item.label for item in labels}) != len(labels):
        raise RepeatedLabels


def _counts(labels: Iterable[ReadLabel | CountedLabel]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in labels:
        counts[item.label] = counts.get(item.label, 0) + item.count
    return counts


def is_correction(labels: Collection[CountedLabel], reading: TaskReading | None) -> bool:
    """Whether the owner differs from the model, in labels or counts; order does not matter.

    A reading lists guesses, best first, of what one photo shows: to agree is to confirm the best of them, or
    the list as it stands. Of several garments it lists each, and only the whole list agrees.
    """
    if reading is None:
        return True
    agreeing = [_counts(reading.labels)]
    if not reading.multiple:
        agreeing.append(_counts(reading.labels[:1]))
    return _counts(labels) not in agreeing


def confirm(task: Task, labels: Sequence[CountedLabel], *, by: str, at: datetime) -> Task:
    """Confirm or correct a task.

    Returns:
        the confirmed task; the very same object if these labels were confirmed before.

    Raises:
        NotReadYet, AlreadyConfirmed, Withdrawn.
    """
    if task.status == "withdrawn":
        raise Withdrawn
    if task.confirmation is not None:
        if _counts(task.confirmation.labels) == _counts(labels):
            return task
        raise AlreadyConfirmed
    if task.status not in ("read", "unreadable"):
        raise NotReadYet
    confirmation = Confirmation(tuple(labels), is_correction(labels, task.reading), by, at)
    return replace(task, status="confirmed", version=task.version + 1, confirmation=confirmation)


def take_back(task: Task, *, by: str) -> Task:
    """Undo a confirmation: the task is what it was before, one version later.

    Returns:
        the task, waiting again; the very same object if it is not confirmed.

    Raises:
        ConfirmedByAnother.
        TooLate: it was confirmed for good.
    """
    if task.confirmation is None:
        return task
    if task.confirmation.confirmed_by != by:
        raise ConfirmedByAnother
    if task.confirmation.undo is None:
        raise TooLate
    status: Status = "read" if task.reading is not None else "unreadable"
    return replace(task, status=status, version=task.version + 1, confirmation=None)


def withdraw(task: Task | None, *, for_task: Task, within: timedelta | None) -> Task:
    """Withdraw a task because its helper took the photo again.

    Args:
        for_task: the task of the new photo.
        within: how long after its submission a photo can be taken again; None is for ever.

    Returns:
        the withdrawn task; the very same object if it was withdrawn before.

    Raises:
        NotReplaceable.
    """
    if task is None or (task.helper_id, task.branch_id) != (for_task.helper_id, for_task.branch_id):
        raise NotReplaceable("unknown")
    if task.status == "withdrawn":
        return task
    if task.status == "confirmed":
        raise NotReplaceable("confirmed")
    if within is not None and for_task.submitted_at - task.submitted_at > within:
        raise NotReplaceable("too-old")
    return replace(task, status="withdrawn", version=task.version + 1, replaced_by=for_task.id)


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: a reading, or why there is none."""

    status: Status
    reading: TaskReading | None
    unreadable_reason: str | None
    pictures: Pictures | None = None


def outcome_of(event: TaskRead) -> Outcome:
    """Return the outcome of reading a photo."""
    if event.outcome == "unreadable":
        return Outcome("unreadable", None, event.reason or "unreadable", event.pictures)
    reading = TaskReading(
        tuple(event.labels), event.needs_review, event.model_version, event.read_at, event.multiple
    )
    return Outcome("read", reading, None, event.pictures)


def take_reading(task: Task, event: TaskRead) -> Task:
    """Apply a model's reading to a task.

    Returns:
        the changed task; the very same object if the reading comes too late: the task has changed since
        the version that was read, or a person has confirmed or withdrawn it.
    """
    if task.status in FINAL or event.task_version < task.version:
        return task
    outcome = outcome_of(event)
    return replace(
        task,
        status=outcome.status,
        version=task.version + 1,
        reading=outcome.reading,
        unreadable_reason=outcome.unreadable_reason,
        pictures=outcome.pictures or task.pictures,
    )


def submitted(task: Task) -> TaskSubmitted:
    """Make the TaskSubmitted event of a task."""
    return TaskSubmitted(
        task_id=task.id,
        task_version=task.version,
        branch_id=task.branch_id,
        helper_id=task.helper_id,
        photo=task.photo,
        submitted_at=task.submitted_at,
    )


def confirmed(task: Task) -> TaskConfirmed:
    """Make the TaskConfirmed event of a task."""
    if task.confirmation is None:
        raise ValueError("the task is not confirmed")
    return TaskConfirmed(
        task_id=task.id,
        task_version=task.version,
        branch_id=task.branch_id,
        photo=task.photo,
        read_labels=list(task.reading.labels) if task.reading else [],
        model_version=task.reading.model_version if task.reading else None,
        labels=list(task.confirmation.labels),
        corrected=task.confirmation.corrected,
        confirmed_by=task.confirmation.confirmed_by,
        confirmed_at=task.confirmation.confirmed_at,
    )
