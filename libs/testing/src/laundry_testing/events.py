"""Events for tests that need one and do not look into it."""

from datetime import UTC, datetime

from laundry_events.events import TaskRead


def reading(task_id: str = "t1") -> TaskRead:
    """Say that a photo was read, as a reader would."""
    return TaskRead(
        task_id=task_id,
        task_version=1,
        branch_id="b1",
        outcome="read",
        model_version="m1",
        read_at=datetime.now(UTC),
    )
