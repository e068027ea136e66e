"""The MLOps message handlers."""

from laundry_events import EventConsumer
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from laundry_service.storage.database import Database
from mlops.service.examples import forget_photos, store_examples


def subscribe(consumer: EventConsumer, database: Database, erasures: Erasures, *, prefetch: int) -> None:
    """Subscribe to confirmed tasks, deleted photos and people to forget."""
    subscribe_erasures(consumer, erasures, "mlops")
    consumer.on_batch(
        "task.confirmed",
        TaskConfirmed,
        prefetch=prefetch,
        inbox="mlops.task-confirmed",
        transaction=database.transaction,
    )(store_examples)
    consumer.on_batch(
        "photo.deleted",
        PhotoDeleted,
        prefetch=prefetch,
        inbox="mlops.photo-deleted",
        transaction=database.transaction,
    )(forget_photos)
