"""What operations consumes: that a service has forgotten a person, and every event for the history."""

from laundry_events import Event, EventConsumer, EventMeta
from laundry_events.events import EVENTS, PersonForgotten
from laundry_events.topology import HISTORY_INTAKE
from operations.service.erasures import Erasures
from operations.service.history import History

BY_TYPE = {event.event_type: event for event in EVENTS}


def subscribe(
    consumer: EventConsumer, erasures: Erasures, history: History, *, history_prefetch: int
) -> None:
    """Subscribe to ``person.forgotten`` and to the copies of all events."""

    @consumer.on("person.forgotten", PersonForgotten, prefetch=10)
    async def on_forgotten(event: PersonForgotten, meta: EventMeta) -> None:
        await erasures.confirm(event, meta)

    @consumer.on_any(HISTORY_INTAKE, BY_TYPE, prefetch=history_prefetch)
    async def on_event(event: Event, meta: EventMeta) -> None:
        await history.keep(event, meta)
