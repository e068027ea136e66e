"""Rows of ``tasks`` as tasks, and back."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from helper.tasks import Confirmation, Task, TaskReading, Undo
from laundry_events.events import CountedLabel, Photo, Pictures, ReadLabel


def values(task: Task) -> dict[str, Any]:
    """Return the columns of a task's row, all but those that its photo's deletion sets."""
    reading, confirmation = task.reading, task.confirmation
    return {
        "id": task.id,
        "branch_id": task.branch_id,
        "helper_id": task.helper_id,
        "note": task.note,
        "status": task.status,
        "version": task.version,
        "submitted_at": task.submitted_at,
        "photo_key": task.photo.key,
        "photo_sha256": task.photo.sha256,
        "photo_bytes": task.photo.bytes,
        "photo_media_type": task.photo.media_type,
        **outcome_values(reading, task.unreadable_reason),
        "pictures": plain_pictures(task.pictures),
        "confirmed_labels": _plain(confirmation.labels) if confirmation else None,
        "corrected": confirmation.corrected if confirmation else None,
        "confirmed_by": confirmation.confirmed_by if confirmation else None,
        "confirmed_at": confirmation.confirmed_at if confirmation else None,
        "undo_until": confirmation.undo.until if confirmation and confirmation.undo else None,
        "undo_event": confirmation.undo.event_id if confirmation and confirmation.undo else None,
        "load_id": task.load_id,
        "replaced_by": task.replaced_by,
    }


def outcome_values(reading: TaskReading | None, unreadable_reason: str | None) -> dict[str, Any]:
    """Return the columns that a reading sets, or that the lack of one does."""
    return {
        "read_labels": _plain(reading.labels) if reading else None,
        "needs_review": reading.needs_review if reading else None,
        "multiple": reading.multiple if reading else None,
        "model_version": reading.model_version if reading else None,
        "read_at": reading.read_at if reading else None,
        "unreadable_reason": unreadable_reason,
    }


def plain_pictures(pictures: Pictures | None) -> dict[str, Any] | None:
    """Return what the column ``pictures`` holds."""
    return None if pictures is None else pictures.model_dump()


def _plain(labels: Sequence[ReadLabel | CountedLabel]) -> list[dict[str, Any]]:
    return [label.model_dump() for label in labels]


def task_of(row: sa.Row[Any]) -> Task:
    """Return the task that a row of ``tasks`` holds."""
    reading = confirmation = None
    if row.read_at is not None:
        reading = TaskReading(
            tuple(ReadLabel.model_validate(label) for label in row.read_labels),
            row.needs_review,
            row.model_version,
            row.read_at,
            bool(row.multiple),
        )
    if row.confirmed_at is not None:
        confirmation = Confirmation(
            tuple(CountedLabel.model_validate(label) for label in row.confirmed_labels),
            row.corrected,
            row.confirmed_by,
            row.confirmed_at,
            None if row.undo_until is None else Undo(row.undo_event, row.undo_until),
        )
    return Task(
        id=row.id,
        branch_id=row.branch_id,
        helper_id=row.helper_id,
        photo=Photo(
            key=row.photo_key,
            sha256=row.photo_sha256,
            bytes=row.photo_bytes,
            media_type=row.photo_media_type,
        ),
        submitted_at=row.submitted_at,
        note=row.note,
        status=row.status,
        version=row.version,
        reading=reading,
        unreadable_reason=row.unreadable_reason,
        confirmation=confirmation,
        pictures=None if row.pictures is None else Pictures.model_validate(row.pictures),
        photo_deleted_at=row.photo_deleted_at,
        photo_gone_at=row.photo_gone_at,
        original_deleted_at=row.original_deleted_at,
        load_id=row.load_id,
        replaced_by=row.replaced_by,
    )
