"""The MLOps message handlers."""

from laundry_events import EventConsumer, EventMeta, claim_once
from laundry_events.events import TaskConfirmed
from laundry_service.storage.database import Database
from mlops import repository


def subscribe(consumer: EventConsumer, database: Database, *, prefetch: int) -> None:
    """Subscribe to confirmed tasks."""

    @consumer.on("task.confirmed", TaskConfirmed, prefetch=prefetch)
    async def on_confirmed(event: TaskConfirmed, meta: EventMeta) -> None:
        async with database.transaction() as session:
            if await claim_once(session, "mlops.task-confirmed", meta.id):
                await repository.store_example(session, event, event_id=meta.id)
