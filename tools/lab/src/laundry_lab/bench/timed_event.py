"""The event that latencies are measured with."""

from datetime import UTC, datetime

from laundry_events.events import PreferenceCreated


def timed_event(size: int, at_ns: int) -> PreferenceCreated:
    """Return an event of about ``size`` bytes that says when it was due (ns of the monotonic clock)."""
    return PreferenceCreated(
        preference_id="01900000-0000-7000-8000-000000000001",
        branch_id="bench",
        title=str(at_ns),
        text="x" * max(0, size - 550),
        tags={f"tag-{number}": 0.5 for number in range(10)},
        matches=[],
        created_at=datetime.now(UTC),
    )
