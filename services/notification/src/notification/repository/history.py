"""Queries about users' notifications. Each works in its caller's transaction."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from notification.model import Announcement, Notification, Reader, State
from notification.tables import notifications


async def add_notifications(
    session: AsyncSession, announcement: Announcement, users: Collection[str]
) -> dict[str, str]:
    """Add an announcement to the history of users who do not have it yet.

    Returns:
        the ids of the new notifications by user. Their state is ``no_device`` until deliveries are added.
    """
    if not users:
        return {}
    common = {
        "kind": announcement.kind,
        "about": announcement.subject,
        "event_id": announcement.event_id,
        "branch_id": announcement.branch_id,
        "texts": announcement.texts,
        "data": announcement.data,
        "content": announcement.content,
        "traceparent": announcement.traceparent,
        "state": "no_device",
    }
    added = await session.execute(
        insert(notifications)
        .values([{"id": new_id(), "user_id": user, **common} for user in sorted(users)])
        .on_conflict_do_nothing(constraint="notifications_once")
        .returning(notifications.c.user_id, notifications.c.id)
    )
    return {row.user_id: row.id for row in added}


async def set_states(session: AsyncSession, ids: Collection[str], state: State) -> None:
    """Set the state of these notifications."""
    if ids:
        await session.execute(
            sa.update(notifications)
            .where(notifications.c.id.in_(ids))
            .values(state=state, changed_at=sa.func.clock_timestamp())
        )


DERIVE_STATES = sa.text("""
UPDATE notifications
SET state = derived.state, changed_at = clock_timestamp(),
    sent_at = CASE WHEN derived.state = 'sent' THEN clock_timestamp() ELSE sent_at END
FROM (
    SELECT asked.id, CASE
        WHEN count(deliveries.state) = 0 THEN 'no_device'
        WHEN bool_or(deliveries.state = 'sent') THEN 'sent'
        WHEN bool_or(deliveries.state = 'pending') THEN 'pending'
        WHEN bool_or(deliveries.state = 'expired') THEN 'expired'
        ELSE 'failed'
    END AS state
    FROM unnest(CAST(:ids AS uuid[])) AS asked (id)
    LEFT JOIN deliveries ON deliveries.notification_id = asked.id
    GROUP BY asked.id
) AS derived
WHERE notifications.id = derived.id AND notifications.state NOT IN ('sent', 'suppressed', derived.state)
""")


async def derive_states(session: AsyncSession, ids: Collection[str]) -> None:
    """Derive the state of notifications from their deliveries: one device reached is ``sent``."""
    if not ids:
        return
    # Outcomes of two devices of one user may come at once: the second waits here and then sees the first.
    await session.execute(
        sa.select(notifications.c.id)
        .where(notifications.c.id.in_(ids))
        .order_by(notifications.c.id)
        .with_for_update(key_share=True)
    )
    await session.execute(DERIVE_STATES, {"ids": list(ids)})


def _visible(reader: Reader) -> list[sa.ColumnElement[bool]]:
    conditions = [notifications.c.user_id == reader.user_id, notifications.c.kind == reader.kind]
    if reader.branches is not None:
        conditions.append(notifications.c.branch_id.in_(reader.branches))
    return conditions


def _read(rows: sa.Result[Any]) -> list[Notification]:
    return [Notification(**row) for row in rows.mappings()]


COLUMNS = [notifications.c[name] for name in Notification.__dataclass_fields__]


async def list_notifications(
    session: AsyncSession, reader: Reader, *, before: str | None, limit: int
) -> list[Notification]:
    """Read a user's notifications, newest first."""
    conditions = _visible(reader)
    if before is not None:
        conditions.append(notifications.c.id < before)
    found = await session.execute(
        sa.select(*COLUMNS).where(*conditions).order_by(notifications.c.id.desc()).limit(limit)
    )
    return _read(found)


async def find_by_ids(
    session: AsyncSession, ids: Collection[str], users: Collection[str]
) -> list[Notification]:
    """Read those of some notifications that belong to some users."""
    found = await session.execute(
        sa.select(*COLUMNS).where(notifications.c.id.in_(ids), notifications.c.user_id.in_(users))
    )
    return _read(found)


async def changed_within(
    session: AsyncSession, reader: Reader, within: timedelta, *, limit: int = 100
) -> list[Notification]:
    """Read the latest of what is new or changed for a user, oldest change first."""
    found = await session.execute(
        sa.select(*COLUMNS)
        .where(*_visible(reader), notifications.c.changed_at > sa.func.clock_timestamp() - within)
        .order_by(notifications.c.changed_at.desc())
        .limit(limit)
    )
    return _read(found)[::-1]
