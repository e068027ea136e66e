"""The inbox: a message has its effect once, however often it is delivered."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from laundry_events.tables import inbox

# Longer than any dead letter lives (7 days), so that a late redrive is still recognised.
RETENTION = timedelta(days=14)


async def claim_once(session: AsyncSession | AsyncConnection, consumer: str, message_id: str) -> bool:
    """Note a message in the caller's transaction; false means its effect was had before.

    Args:
        consumer: which effect this is, e.g. ``helper.task-read``; each has the message once.
    """
    noted = await session.execute(
        insert(inbox)
        .values(consumer=consumer, message_id=message_id)
        .on_conflict_do_nothing()
        .returning(inbox.c.message_id)
    )
    return noted.first() is not None


async def claim_each_once(
    session: AsyncSession | AsyncConnection, consumer: str, message_ids: Collection[str]
) -> set[str]:
    """Note many messages in the caller's transaction; returns those whose effect was not had before."""
    if not message_ids:
        return set()
    noted = await session.execute(
        insert(inbox)
        # In one order: two readers of the same messages wait for each other and never in a circle.
        .values([{"consumer": consumer, "message_id": each} for each in sorted(set(message_ids))])
        .on_conflict_do_nothing()
        .returning(inbox.c.message_id)
    )
    return set(noted.scalars())


async def delete_expired(session: AsyncSession | AsyncConnection) -> int:
    """Delete notes older than the retention; returns how many."""
    gone = await session.execute(
        delete(inbox).where(inbox.c.received_at < func.now() - RETENTION).returning(inbox.c.message_id)
    )
    return len(gone.all())
