"""Messages whose copy came before them. Each query works in its caller's transaction.

A message may wait in an outbox or for its next attempt while it is told again from the history. The copy is
silent and claims it in the inbox, and the message itself would be taken for a repetition: no phone would
ring. So what only a silent copy has claimed is noted beside, and told anew when the message itself comes.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events.inbox import claim_each_once
from laundry_events.tables import inbox
from notification.tables import notifications


async def note(session: AsyncSession, consumer: str, message_ids: Collection[str]) -> None:
    """Note that these were claimed by silent copies alone."""
    await claim_each_once(session, _silent(consumer), message_ids)


async def now_come(session: AsyncSession, consumer: str, message_ids: Collection[str]) -> set[str]:
    """Return which of these, come themselves, only silent copies have claimed; the next time none."""
    if not message_ids:
        return set()
    # In one order, so that two readers of the same messages may wait for each other but never deadlock.
    noted = (
        sa.select(inbox.c.message_id)
        .where(inbox.c.consumer == _silent(consumer), inbox.c.message_id.in_(message_ids))
        .order_by(inbox.c.message_id)
        .with_for_update()
        .cte("noted")
    )
    gone = await session.execute(
        sa.delete(inbox)
        .where(inbox.c.consumer == _silent(consumer), inbox.c.message_id.in_(sa.select(noted.c.message_id)))
        .returning(inbox.c.message_id)
    )
    return set(gone.scalars())


async def untell(session: AsyncSession, message_ids: Collection[str], abouts: Collection[str]) -> None:
    """Delete what silent copies of these messages have told: no push was made of it, and none waits.

    Args:
        abouts: what the messages are about.
    """
    if message_ids:
        await session.execute(
            sa.delete(notifications).where(
                notifications.c.about.in_(abouts),
                notifications.c.event_id.in_(message_ids),
                notifications.c.state == "suppressed",
            )
        )


def _silent(consumer: str) -> str:
    return f"{consumer}.silently"
