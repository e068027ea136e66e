"""The messages that the helper consumes."""

from prometheus_client import Counter

from helper.service.readings import UnknownTask, store_reading
from laundry_events import EventConsumer, EventMeta, PermanentError
from laundry_events.events import TaskRead
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from laundry_service.storage.database import Database

READ = Counter("laundry_helper_readings", "Readings by what became of them", ["outcome"])


def subscribe(consumer: EventConsumer, database: Database, erasures: Erasures, *, prefetch: int) -> None:
    """Take readings into their tasks, and forget people."""
    subscribe_erasures(consumer, erasures, "helper")

    @consumer.on("task.read", TaskRead, prefetch=prefetch)
    async def task_read(event: TaskRead, meta: EventMeta) -> None:
        try:
            outcome = await store_reading(database, event, meta.id)
        except UnknownTask as error:
            raise PermanentError(str(error), reason="unknown-task") from error
        READ.labels(outcome).inc()
