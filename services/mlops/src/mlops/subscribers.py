"""The MLOps message handlers."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import EventConsumer, Received
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from laundry_service.storage.database import Database
from mlops import repository


def subscribe(consumer: EventConsumer, database: Database, erasures: Erasures, *, prefetch: int) -> None:
    """Subscribe to confirmed tasks, deleted photos and people to forget."""
    subscribe_erasures(consumer, erasures, "mlops")

    @consumer.on_batch(
        "task.confirmed",
        TaskConfirmed,
        prefetch=prefetch,
        inbox="mlops.task-confirmed",
        transaction=database.transaction,
    )
    async def on_confirmed(session: AsyncSession, messages: Sequence[Received[TaskConfirmed]]) -> None:
        await repository.store_examples(session, {each.meta.id: each.event for each in messages})

    @consumer.on_batch(
        "photo.deleted",
        PhotoDeleted,
        prefetch=prefetch,
        inbox="mlops.photo-deleted",
        transaction=database.transaction,
    )
    async def on_deleted(session: AsyncSession, messages: Sequence[Received[PhotoDeleted]]) -> None:
        for each in messages:
            await repository.forget_photo(session, each.event)
