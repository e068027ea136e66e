"""The MLOps message handlers."""

from laundry_events import EventConsumer, EventMeta
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from laundry_service.storage.database import Database
from mlops.service.examples import forget_photo, store_example


def subscribe(consumer: EventConsumer, database: Database, erasures: Erasures, *, prefetch: int) -> None:
    """Subscribe to confirmed tasks, deleted photos and people to forget."""
    subscribe_erasures(consumer, erasures, "mlops")

    @consumer.on("task.confirmed", TaskConfirmed, prefetch=prefetch)
    async def on_confirmed(event: TaskConfirmed, meta: EventMeta) -> None:
        await store_example(database, event, meta.id)

    @consumer.on("photo.deleted", PhotoDeleted, prefetch=prefetch)
    async def on_deleted(event: PhotoDeleted, meta: EventMeta) -> None:
        await forget_photo(database, event, meta.id)
