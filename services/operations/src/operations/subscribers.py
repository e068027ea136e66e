"""What operations consumes: that a service has forgotten a person."""

from laundry_events import EventConsumer, EventMeta
from laundry_events.events import PersonForgotten
from operations.service.erasures import Erasures


def subscribe(consumer: EventConsumer, erasures: Erasures) -> None:
    """Subscribe to ``person.forgotten``."""

    @consumer.on("person.forgotten", PersonForgotten, prefetch=10)
    async def on_forgotten(event: PersonForgotten, meta: EventMeta) -> None:
        await erasures.confirm(event, meta)
