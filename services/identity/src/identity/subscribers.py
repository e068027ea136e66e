"""What identity consumes: that a person is to be forgotten."""

from laundry_events import EventConsumer
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures


def subscribe(consumer: EventConsumer, erasures: Erasures) -> None:
    """Subscribe to the queue of people to forget."""
    subscribe_erasures(consumer, erasures, "identity")
