"""Queries of what nobody needs to be told of any more. Each works in its caller's transaction.

Deliveries come before notifications, as wherever both are written. Whoever tells something that may be
settled at the same moment holds it first (``hold``), before any row of it: after that it is told nobody.
One at a time does: two who told the next person at once would both choose the same one.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.tables import settled

# In the order of the keys: those who hold several may wait for each other but never deadlock.
HOLD = sa.text("""
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended('settled:' || about, 0) AS key
    FROM unnest(CAST(:abouts AS text[])) AS about
    ORDER BY key
) AS ordered
""")
HOLD_ALONE = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('settled:' || CAST(:about AS text), 0))")
DROP_DELIVERIES = sa.text("""
DELETE FROM deliveries USING notifications
WHERE notifications.id = deliveries.notification_id AND notifications.about = ANY(CAST(:abouts AS text[]))
    AND deliveries.state = 'pending'
""")
STAY_SILENT = sa.text("""
UPDATE notifications SET state = 'suppressed', changed_at = clock_timestamp()
WHERE about = ANY(CAST(:abouts AS text[])) AND state IN ('standby', 'pending')
""")


async def settle(session: AsyncSession, about: str) -> None:
    """Note that something is settled, and tell it nobody who has not been told yet.

    It waits for those who are telling it just now (``hold``).
    """
    await session.execute(HOLD_ALONE, {"about": about})
    await session.execute(insert(settled).values(about=about).on_conflict_do_nothing())
    await silence(session, [about])


async def hold(session: AsyncSession, abouts: Collection[str]) -> set[str]:
    """Let nobody else settle or tell these until the transaction ends; returns those that are settled."""
    if not abouts:
        return set()
    await session.execute(HOLD, {"abouts": sorted(abouts)})
    return await which_are(session, abouts)


async def which_are(session: AsyncSession, abouts: Collection[str]) -> set[str]:
    """Find which of these are settled."""
    found = await session.execute(sa.select(settled.c.about).where(settled.c.about.in_(abouts)))
    return set(found.scalars())


async def silence(session: AsyncSession, abouts: Collection[str]) -> None:
    """Tell these nobody who has not been told yet."""
    if abouts:
        await session.execute(DROP_DELIVERIES, {"abouts": sorted(abouts)})
        await session.execute(STAY_SILENT, {"abouts": sorted(abouts)})
