"""What tests of consuming share: an event to publish, and a consumer of the laundry's plan."""

from datetime import UTC, datetime
from typing import Any

from laundry_events import Dependency, EventConsumer, Publisher
from laundry_events.broker import ConsumingBroker
from laundry_events.events import TaskRead
from laundry_events.topology import PLAN


def reading(task_id: str = "t1") -> TaskRead:
    return TaskRead(
        task_id=task_id,
        task_version=1,
        branch_id="b1",
        outcome="read",
        model_version="m1",
        read_at=datetime.now(UTC),
    )


def consume(
    broker: ConsumingBroker, publisher: Publisher, *dependencies: Dependency, **options: Any
) -> EventConsumer:
    return EventConsumer(
        broker, publisher, PLAN, service="tests", service_version="1", dependencies=dependencies, **options
    )
