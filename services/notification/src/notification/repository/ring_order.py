"""Queries of who rings next for a fault. Each works in its caller's transaction.

The owners of a branch ring in the order in which they were first seen with it, those with a phone only; then
the operators ring, all at once. Alerts and deliveries are written before notifications, as everywhere.
"""

import json
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.model import Announcement
from notification.repository.faults import story_of
from notification.tables import devices, notifications

NEXT = sa.text("""
SELECT id, about FROM (
    SELECT notifications.id, notifications.about,
        row_number() OVER (
            PARTITION BY notifications.about
            ORDER BY coalesce(owner_branches.since, (
                SELECT min(created_at) FROM devices WHERE devices.user_id = notifications.user_id
            )), notifications.user_id
        ) AS turn
    FROM notifications
    LEFT JOIN owner_branches ON owner_branches.branch_id = notifications.branch_id
        AND owner_branches.user_id = notifications.user_id
    WHERE notifications.about = ANY(CAST(:abouts AS text[]))
        AND notifications.state IN ('standby', 'no_device')
        AND EXISTS (
            SELECT FROM devices
            WHERE devices.user_id = notifications.user_id AND devices.role = 'owner'
                AND devices.branches @> ARRAY[notifications.branch_id]
        )
) AS waiting
JOIN jsonb_each_text(CAST(:wanted AS jsonb)) AS asked (asked_about, number) ON asked_about = about
WHERE turn <= CAST(number AS int)
""")
RING = sa.text("""
UPDATE notifications SET state = 'pending', changed_at = clock_timestamp()
WHERE id = ANY(CAST(:ids AS uuid[])) AND state IN ('standby', 'no_device')
""")
RETELL = sa.text("""
UPDATE notifications SET texts = story.texts, data = story.data, event_id = story.event_id
FROM jsonb_to_recordset(CAST(:stories AS jsonb)) AS story (about text, event_id text, texts jsonb, data jsonb)
WHERE notifications.id = ANY(CAST(:ids AS uuid[])) AND notifications.about = story.about
""")
UNREACHED = sa.text("""
SELECT DISTINCT about FROM notifications
WHERE id = ANY(CAST(:ids AS uuid[])) AND state IN ('failed', 'no_device') AND NOT EXISTS (
    SELECT FROM notifications AS others
    WHERE others.about = notifications.about AND others.state IN ('pending', 'sent')
)
""")


async def next_owners(session: AsyncSession, wanted: Mapping[str, int]) -> dict[str, str]:
    """Find the owners who ring next: for each fault as many as are wanted, or as there are.

    Returns:
        what each fault is about, by the ids of their notifications.
    """
    if not wanted:
        return {}
    asked = {"abouts": sorted(wanted), "wanted": json.dumps(dict(wanted))}
    return {str(row.id): row.about for row in await session.execute(NEXT, asked)}


async def let_ring(
    session: AsyncSession, notification_ids: Collection[str], retold: Sequence[Announcement] = ()
) -> None:
    """Take notifications off standby, after their pushes were queued.

    Args:
        retold: what they are told, if that differs from what the first were told.
    """
    if not notification_ids:
        return
    ids = sorted(notification_ids)
    if retold:
        stories = json.dumps([story_of(each) for each in retold])
        await session.execute(RETELL, {"ids": ids, "stories": stories})
    await session.execute(RING, {"ids": ids})


async def abouts_of(session: AsyncSession, notification_ids: Collection[str]) -> set[str]:
    """Find what notifications are about."""
    found = await session.execute(
        sa.select(notifications.c.about).where(notifications.c.id.in_(notification_ids)).distinct()
    )
    return set(found.scalars())


async def unreached(session: AsyncSession, notification_ids: Collection[str]) -> set[str]:
    """Find which of these faults have reached nobody and are on their way to nobody."""
    return set((await session.execute(UNREACHED, {"ids": sorted(notification_ids)})).scalars())


async def operators(session: AsyncSession) -> list[str]:
    """Find the operators who have a phone."""
    found = await session.execute(
        sa.select(devices.c.user_id)
        .where(devices.c.role == "operator")
        .distinct()
        .order_by(devices.c.user_id)
    )
    return list(found.scalars())
