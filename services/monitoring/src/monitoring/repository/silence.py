"""Queries about silence: since when the service has been listening, and which machines send nothing.

Each works in its caller's transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.fault_rules import HEARTBEAT
from monitoring.machine import MachineKey, Via
from monitoring.tables import equipment, fault, watch


@dataclass(frozen=True)
class SilentMachine:
    """A machine that has not been heard for too long.

    Attributes:
        moved: its own token, which names this branch too, was heard for another branch since.
    """

    key: MachineKey
    moved: bool


async def note_listening(session: AsyncSession, via: Sequence[Via], *, deaf_after: timedelta) -> bool:
    """Record that samples can currently arrive by these channels.

    If it was last recorded more than ``deaf_after`` ago, listening starts over. The rows stay locked until
    the transaction ends.

    Returns:
        False if another replica holds them: it is checking.
    """
    await session.execute(
        insert(watch)
        .values([{"via": v, "looked_at": sa.func.now(), "hearing_since": sa.func.now()} for v in via])
        .on_conflict_do_nothing()
    )
    rows = await session.execute(
        sa.select(watch.c.via)
        .where(watch.c.via.in_(via))
        .order_by(watch.c.via)
        .with_for_update(skip_locked=True)
    )
    if len(rows.all()) < len(via):
        return False
    was_deaf = watch.c.looked_at < sa.func.now() - deaf_after
    await session.execute(
        sa.update(watch)
        .where(watch.c.via.in_(via))
        .values(
            hearing_since=sa.case((was_deaf, sa.func.now()), else_=watch.c.hearing_since),
            looked_at=sa.func.now(),
        )
    )
    return True


async def find_silent(
    session: AsyncSession,
    via: Sequence[Via],
    *,
    after: timedelta,
    limit: int,
    but: Collection[MachineKey] = (),
) -> list[SilentMachine]:
    """Find and lock machines that have not been heard for ``after`` and whose silence is not a fault yet."""
    already_open = (
        sa.select(fault.c.id)
        .where(
            fault.c.branch_id == equipment.c.branch_id,
            fault.c.equipment_id == equipment.c.id,
            fault.c.cause == HEARTBEAT.cause,
            fault.c.cleared_at.is_(None),
        )
        .exists()
    )
    other = equipment.alias("other")
    moved = (
        sa.select(other.c.id)
        .where(
            equipment.c.speaks_for.is_not(None),
            other.c.id == equipment.c.id,
            other.c.branch_id != equipment.c.branch_id,
            other.c.heard_at > equipment.c.heard_at,
            equipment.c.branch_id == sa.any_(other.c.speaks_for),
        )
        .exists()
    )
    rows = await session.execute(
        sa.select(equipment.c.branch_id, equipment.c.id, moved.label("moved"))
        .join(watch, watch.c.via == equipment.c.heard_via)
        .where(
            equipment.c.heard_via.in_(via),
            equipment.c.heard_at < sa.func.now() - after,
            watch.c.hearing_since < sa.func.now() - after,
            ~already_open,
            *([sa.tuple_(equipment.c.branch_id, equipment.c.id).not_in(list(but))] if but else []),
        )
        .order_by(equipment.c.branch_id, equipment.c.id)
        .limit(limit)
        # A locked row belongs to a machine that is being heard.
        .with_for_update(of=equipment, skip_locked=True)
    )
    return [SilentMachine(MachineKey(row.branch_id, row.id), row.moved) for row in rows]
