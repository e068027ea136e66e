"""Queries about users' notifications. Each works in its caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from notification.model import Kind, Notification, State, Story
from notification.tables import devices, fault_alerts, match_quota, notifications, owner_branches


async def tell(session: AsyncSession, story: Story, users: Collection[str]) -> dict[str, str]:
    """Write a story into the histories of users who have not been told of it.

    Returns:
        the ids of the new notifications by user. Their state is ``no_device`` until deliveries are added.
    """
    if not users:
        return {}
    common = {
        "kind": story.kind,
        "about": story.about,
        "event_id": story.event_id,
        "branch_id": story.branch_id,
        "texts": story.texts,
        "data": story.data,
        "state": "no_device",
    }
    told = await session.execute(
        insert(notifications)
        .values([{"id": new_id(), "user_id": user, **common} for user in sorted(users)])
        .on_conflict_do_nothing(constraint="notifications_once")
        .returning(notifications.c.user_id, notifications.c.id)
    )
    return {row.user_id: row.id for row in told}


async def set_state(session: AsyncSession, ids: Collection[str], state: State) -> None:
    """Set the state of notifications."""
    if ids:
        await session.execute(
            sa.update(notifications)
            .where(notifications.c.id.in_(ids))
            .values(state=state, changed_at=sa.func.clock_timestamp())
        )


SETTLE = sa.text("""
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


async def settle(session: AsyncSession, ids: Collection[str]) -> None:
    """Derive the state of notifications from their deliveries: one device reached is ``sent``."""
    if not ids:
        return
    # Two devices of one user may be marked at once: the second waits here and then sees the first's mark.
    await session.execute(
        sa.select(notifications.c.id)
        .where(notifications.c.id.in_(ids))
        .order_by(notifications.c.id)
        .with_for_update(key_share=True)
    )
    await session.execute(SETTLE, {"ids": list(ids)})


def _visible(user_id: str, kind: Kind, branches: Collection[str] | None) -> list[sa.ColumnElement[bool]]:
    conditions = [notifications.c.user_id == user_id, notifications.c.kind == kind]
    if branches is not None:
        conditions.append(notifications.c.branch_id.in_(branches))
    return conditions


def _read(rows: sa.Result[Any]) -> list[Notification]:
    return [Notification(**row) for row in rows.mappings()]


COLUMNS = [column for column in notifications.c if column.name != "about"]


async def history(
    session: AsyncSession,
    *,
    user_id: str,
    kind: Kind,
    branches: Collection[str] | None,
    before: str | None,
    limit: int,
) -> list[Notification]:
    """Read a user's notifications, newest first; an owner's only of branches that his token still names."""
    conditions = _visible(user_id, kind, branches)
    if before is not None:
        conditions.append(notifications.c.id < before)
    found = await session.execute(
        sa.select(*COLUMNS).where(*conditions).order_by(notifications.c.id.desc()).limit(limit)
    )
    return _read(found)


async def find_all(session: AsyncSession, ids: Collection[str], users: Collection[str]) -> list[Notification]:
    """Read those of some notifications that are of some users."""
    found = await session.execute(
        sa.select(*COLUMNS).where(notifications.c.id.in_(ids), notifications.c.user_id.in_(users))
    )
    return _read(found)


async def changed_lately(
    session: AsyncSession,
    *,
    user_id: str,
    kind: Kind,
    branches: Collection[str] | None,
    within: timedelta,
    limit: int = 100,
) -> list[Notification]:
    """Read what is new or changed for a user since a while, at most the newest of it, oldest change first."""
    found = await session.execute(
        sa.select(*COLUMNS)
        .where(
            *_visible(user_id, kind, branches),
            notifications.c.changed_at > sa.func.clock_timestamp() - within,
        )
        .order_by(notifications.c.changed_at.desc())
        .limit(limit)
    )
    return _read(found)[::-1]


async def forget(
    session: AsyncSession, *, history: timedelta, stale_device: timedelta, owner_known: timedelta
) -> Sequence[int]:
    """Delete what is past its time; returns how many rows of each table went."""
    now = sa.func.now()
    at_rest = sa.and_(fault_alerts.c.due_at.is_(None), fault_alerts.c.quiet_until < now - timedelta(days=1))
    ownerless = ~sa.exists().where(devices.c.token == fault_alerts.c.token)
    statements = [
        sa.delete(notifications).where(notifications.c.created_at < now - history),
        sa.delete(devices).where(devices.c.registered_at < now - stale_device),
        sa.delete(owner_branches).where(owner_branches.c.seen_at < now - owner_known),
        sa.delete(match_quota).where(match_quota.c.day < sa.func.current_date() - 2),
        sa.delete(fault_alerts).where(sa.or_(at_rest, ownerless)),
    ]
    return [(await session.execute(statement)).rowcount for statement in statements]  # type: ignore[attr-defined]
