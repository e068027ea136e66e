"""Events of a task, as the services send them."""

from datetime import UTC, datetime

from laundry_events.events import (
    CountedLabel,
    Photo,
    ReadLabel,
    TaskConfirmed,
    TaskRead,
    TaskSubmitted,
)

NOW = datetime.now(UTC)
PHOTO = Photo(key="photos/1", sha256="0" * 64, bytes=2048, media_type="image/jpeg")


def confirmed(task: str, label: str = "shirt", *, version: int = 2, by: str = "kim") -> TaskConfirmed:
    return TaskConfirmed(
        task_id=task,
        task_version=version,
        branch_id="b1" if int(task[-1], 16) % 2 else "b2",
        photo=PHOTO.model_copy(update={"key": f"photos/{task}"}),
        read_labels=[ReadLabel(label="pants", confidence=0.7)],
        model_version="m1",
        labels=[CountedLabel(label=label, count=2)],
        corrected=label != "pants",
        confirmed_by=by,
        confirmed_at=NOW,
    )


def submitted(task: str) -> TaskSubmitted:
    return TaskSubmitted(
        task_id=task, task_version=1, branch_id="b1", helper_id="lee", photo=PHOTO, submitted_at=NOW
    )


def read(task: str) -> TaskRead:
    return TaskRead(
        task_id=task, task_version=1, branch_id="b1", outcome="read", model_version="m1", read_at=NOW
    )
