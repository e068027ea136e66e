"""What tests of consuming share: an event to publish, and a consumer of the laundry's plan."""

from typing import Any

from laundry_events import Dependency, EventConsumer, Publisher
from laundry_events.broker import ConsumingBroker
from laundry_events.topology import PLAN


def consume(
    broker: ConsumingBroker, publisher: Publisher, *dependencies: Dependency, **options: Any
) -> EventConsumer:
    return EventConsumer(
        broker, publisher, PLAN, service="tests", service_version="1", dependencies=dependencies, **options
    )
