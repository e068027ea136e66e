"""Keeps confirmed tasks as examples, each once, however often its message is delivered."""

from laundry_events import claim_once
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_service.storage.database import Database
from mlops import repository


async def store_example(database: Database, event: TaskConfirmed, message_id: str) -> None:
    """Store a confirmed task as an example."""
    async with database.transaction() as session:
        if await claim_once(session, "mlops.task-confirmed", message_id):
            await repository.store_example(session, event, event_id=message_id)


async def forget_photo(database: Database, event: PhotoDeleted, message_id: str) -> None:
    """Note that the photo of an example is gone."""
    async with database.transaction() as session:
        if await claim_once(session, "mlops.photo-deleted", message_id):
            await repository.forget_photo(session, event)
