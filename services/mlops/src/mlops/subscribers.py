"""The MLOps message handlers."""

from laundry_events import EventConsumer, EventMeta, claim_once
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from laundry_service.storage.database import Database
from mlops import repository


def subscribe(consumer: EventConsumer, database: Database, erasures: Erasures, *, prefetch: int) -> None:
    """Subscribe to confirmed tasks, deleted photos and people to forget."""
    subscribe_erasures(consumer, erasures, "mlops")

    @consumer.on("task.confirmed", TaskConfirmed, prefetch=prefetch)
    async def on_confirmed(event: TaskConfirmed, meta: EventMeta) -> None:
        async with database.transaction() as session:
            if await claim_once(session, "mlops.task-confirmed", meta.id):
                await repository.store_example(session, event, event_id=meta.id)

    @consumer.on("photo.deleted", PhotoDeleted, prefetch=prefetch)
    async def on_deleted(event: PhotoDeleted, meta: EventMeta) -> None:
        async with database.transaction() as session:
            if await claim_once(session, "mlops.photo-deleted", meta.id):
                await repository.forget_photo(session, event)
