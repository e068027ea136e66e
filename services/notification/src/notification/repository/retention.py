"""Deletes what is older than it is kept, in its caller's transaction."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.tables import (
    devices,
    fault_alerts,
    match_quota,
    notifications,
    owner_branches,
    settled,
)


@dataclass(frozen=True)
class Retention:
    """How long things are kept: the history, devices and owners after they were last seen."""

    history: timedelta
    stale_device: timedelta
    owner_known: timedelta


async def delete_expired(session: AsyncSession, kept: Retention) -> list[int]:
    """Delete expired rows; returns how many of each table."""
    now = sa.func.now()
    idle = sa.and_(fault_alerts.c.due_at.is_(None), fault_alerts.c.quiet_until < now - timedelta(days=1))
    without_device = ~sa.exists().where(devices.c.token == fault_alerts.c.token)
    statements = [
        sa.delete(notifications).where(notifications.c.created_at < now - kept.history),
        sa.delete(settled).where(settled.c.noted_at < now - kept.history),
        sa.delete(devices).where(devices.c.registered_at < now - kept.stale_device),
        sa.delete(owner_branches).where(owner_branches.c.seen_at < now - kept.owner_known),
        sa.delete(match_quota).where(match_quota.c.day < sa.func.current_date() - 2),
        sa.delete(fault_alerts).where(sa.or_(idle, without_device)),
    ]
    return [(await session.execute(statement)).rowcount for statement in statements]  # type: ignore[attr-defined]
