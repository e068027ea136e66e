"""A request to forget somebody, as a service gets it."""

from datetime import UTC, datetime

from laundry_events import EventMeta, new_id
from laundry_events.events import PersonErased

TOMBSTONE = "erased-0f1e2d3c4b5a"


def person_erased(person: str, *, attempt: int = 1) -> tuple[PersonErased, EventMeta]:
    """Make the event and what the broker would say of it."""
    event = PersonErased(
        erasure_id=new_id(),
        person_id=person,
        tombstone=TOMBSTONE,
        attempt=attempt,
        requested_at=datetime.now(UTC),
    )
    meta = EventMeta(
        id=new_id(),
        type=event.event_type,
        source="/operations",
        subject=event.subject,
        time=None,
        version=1,
        queue=event.routing_key,
        routing_key=event.routing_key,
        attempt=1,
        redelivered=False,
        headers={},
    )
    return event, meta
