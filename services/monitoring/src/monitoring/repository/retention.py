"""Deletes what is older than it is kept, in its caller's transaction."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.tables import device_login, fault, sample


async def prune(session: AsyncSession, *, samples: timedelta, faults: timedelta, limit: int) -> int:
    """Delete up to ``limit`` rows of each kind; returns how many went."""
    gone = 0
    newer = device_login.alias("newer")
    superseded = (
        sa.select(newer.c.equipment_id)
        .where(
            newer.c.equipment_id == device_login.c.equipment_id,
            sa.tuple_(newer.c.expires_at, newer.c.client_id)
            > sa.tuple_(device_login.c.expires_at, device_login.c.client_id),
        )
        .exists()
    )
    for table, old in (
        (sample, sample.c.received_at < sa.func.now() - samples),
        (fault, fault.c.cleared_at < sa.func.now() - faults),
        # A machine that flaps leaves many faults that alerted nobody.
        (fault, sa.and_(fault.c.cleared_at < sa.func.now() - samples, fault.c.rung_for == 0)),
        # The last login of a device stays: without one it would be taken for a gateway.
        (device_login, sa.and_(device_login.c.expires_at < sa.func.now() - samples, superseded)),
    ):
        row: Any = sa.literal_column(f"{table.name}.ctid")
        found = sa.select(row).select_from(table).where(old).limit(limit).with_for_update(skip_locked=True)
        deleted = await session.execute(sa.delete(table).where(row.in_(found)).returning(sa.literal(1)))
        gone += len(deleted.all())
    return gone
