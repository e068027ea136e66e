"""What a photo's reading is, and when a photo cannot be read. Knows no server and no framework."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from laundry_events.events import ReadLabel, TaskRead, TaskSubmitted
from laundry_reading.errors import PhotoError
from laundry_reading.model import Reading

_NAMESPACE = uuid.UUID("5e1d36f2-6f0e-4b55-9d4b-0d3a4f8a7c21")


class PhotoMissing(PhotoError):
    """The task names a photo that is not in the store."""

    code = "photo_missing"


class PhotoMismatch(PhotoError):
    """The stored bytes are not those that the helper sent."""

    code = "photo_mismatch"


class Reader(Protocol):
    """What reads a photo: ``laundry_reading.model.Model``."""

    version: str

    def read(self, photo: bytes, *, branch_id: str | None = None) -> Reading:
        """Read one photo of a branch, or raise ``PhotoError``."""


def reading_id(submission_id: str) -> str:
    """Name the reading of one submission: the same however often the submission is delivered."""
    return str(uuid.uuid5(_NAMESPACE, submission_id))


def check_stored(task: TaskSubmitted, stored: bytes) -> None:
    """Check that the stored bytes are those that were registered.

    Raises:
        PhotoMismatch: another size or another hash.
    """
    if len(stored) != task.photo.bytes:
        raise PhotoMismatch(f"The stored photo has {len(stored)} bytes, registered were {task.photo.bytes}.")
    found = hashlib.sha256(stored).hexdigest()
    if found != task.photo.sha256:
        raise PhotoMismatch(f"The stored photo's sha256 is {found}, registered was {task.photo.sha256}.")


def read_labels(reading: Reading) -> list[ReadLabel]:
    """Return what was seen, as messages carry it."""
    return [ReadLabel(label=g.label, confidence=g.confidence, count=g.count) for g in reading.labels]


def read_task(
    task: TaskSubmitted, stored: bytes, reader: Reader, *, clock: Callable[[], datetime]
) -> TaskRead:
    """Read a task's photo. Blocks for as long as decoding and the model take.

    Args:
        clock: tells the time, asked once the photo is read.

    Raises:
        PhotoError: the photo cannot be read; see ``unreadable``.
        laundry_reading.model.ModelError: the model failed on a photo that is fine.
    """
    check_stored(task, stored)
    reading = reader.read(stored, branch_id=task.branch_id)
    return TaskRead(
        task_id=task.task_id,
        task_version=task.task_version,
        branch_id=task.branch_id,
        outcome="read",
        labels=read_labels(reading),
        needs_review=reading.needs_review,
        multiple=reading.multiple,
        model_version=reading.model_version,
        read_at=clock(),
    )


def unreadable(task: TaskSubmitted, error: PhotoError, *, model_version: str, now: datetime) -> TaskRead:
    """Tell that a photo cannot be read: an outcome for a person to see, not a failure to try again."""
    return TaskRead(
        task_id=task.task_id,
        task_version=task.task_version,
        branch_id=task.branch_id,
        outcome="unreadable",
        reason=error.code,
        needs_review=True,
        model_version=model_version,
        read_at=now,
    )
