"""Queries about who handles faults, and which are passed on. Each works in its caller's transaction.

A machine's row is locked before its faults, as where they are detected. Due times are set and compared by the
database's clock, so that replicas whose clocks differ agree.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.fault_handling import EscalationPolicy, Handling
from monitoring.machine import MachineKey
from monitoring.repository.equipment import StoredFault
from monitoring.tables import equipment, fault


@dataclass(frozen=True)
class HandledFault:
    """A fault, and the kind of its machine; ``None`` if that is gone."""

    fault: StoredFault
    kind: str | None

    @property
    def machine(self) -> MachineKey:
        """The machine that the fault belongs to."""
        return MachineKey(self.fault.branch_id, self.fault.equipment_id)


class FaultsStart(NamedTuple):
    """The fault after which a page begins."""

    detected_at: datetime
    fault_id: str


_OPEN = fault.c.cleared_at.is_(None)
_UNANSWERED = sa.and_(_OPEN, fault.c.acknowledged_at.is_(None))
_IN_STATE: dict[Handling, sa.ColumnElement[bool]] = {
    "open": sa.and_(_UNANSWERED, fault.c.escalation == 0),
    "escalated": sa.and_(_UNANSWERED, fault.c.escalation > 0),
    "acknowledged": sa.and_(_OPEN, fault.c.acknowledged_at.is_not(None)),
    "closed": fault.c.cleared_at.is_not(None),
}


def _select() -> sa.Select[Any]:
    return sa.select(fault, equipment.c.kind).select_from(fault.outerjoin(equipment, _is_machine_of(fault)))


def _is_machine_of(faults: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(equipment.c.branch_id == faults.c.branch_id, equipment.c.id == faults.c.equipment_id)


def _read(rows: sa.Result[Any]) -> list[HandledFault]:
    return [HandledFault(StoredFault.of(row), row.kind) for row in rows]


async def find(session: AsyncSession, fault_id: str) -> HandledFault | None:
    """Read one fault with its handling; None if there is no such fault."""
    found = _read(await session.execute(_select().where(fault.c.id == fault_id)))
    return found[0] if found else None


async def list_faults(
    session: AsyncSession,
    *,
    branches: Collection[str] | None,
    states: Collection[Handling],
    after: FaultsStart | None,
    limit: int,
) -> list[HandledFault]:
    """Read faults of some branches (``None``: of all) in some states, newest first."""
    wanted = sa.select(fault).where(sa.or_(*(_IN_STATE[state] for state in states)))
    if after is not None:
        start = sa.tuple_(sa.literal(after.detected_at, fault.c.detected_at.type), sa.literal(after.fault_id))
        wanted = wanted.where(sa.tuple_(fault.c.detected_at, fault.c.id) < start)
    wanted = wanted.limit(limit)
    newest_first = (fault.c.detected_at.desc(), fault.c.id.desc())
    if branches is None:
        wanted = wanted.order_by(*newest_first)
        found = sa.select(wanted.subquery()).subquery("found")
    else:
        # Of each branch apart: an index has the faults of one branch in this order, not those of several.
        each = sa.func.unnest(sa.cast(sorted(branches), sa.ARRAY(sa.Text))).table_valued("id")
        asked = each.render_derived(name="asked")
        # As a range and in this order: else the planner takes a branch for an average one, and may walk down
        # everybody's faults.
        of_each = (
            wanted.where(fault.c.branch_id >= asked.c.id, fault.c.branch_id <= asked.c.id)
            .order_by(fault.c.branch_id.desc(), *newest_first)
            .lateral("newest")
        )
        found = sa.select(of_each).select_from(asked).subquery("found")
    query = (
        sa.select(found, equipment.c.kind)
        .select_from(found.outerjoin(equipment, _is_machine_of(found)))
        .order_by(found.c.detected_at.desc(), found.c.id.desc())
        .limit(limit)
    )
    return _read(await session.execute(query))


async def lock_machine(session: AsyncSession, key: MachineKey) -> None:
    """Wait until no other transaction changes a machine's faults, and let none."""
    await session.execute(
        sa.select(equipment.c.id)
        .where(equipment.c.branch_id == key.branch_id, equipment.c.id == key.equipment_id)
        .with_for_update()
    )


async def acknowledge(session: AsyncSession, told: StoredFault, *, by: str) -> Sequence[StoredFault]:
    """Acknowledge a fault, and what else was wrong with its machine when people were told of it."""
    told_at = told.rung_at or told.detected_at
    changed = await session.execute(
        sa.update(fault)
        .where(
            _UNANSWERED,
            fault.c.branch_id == told.branch_id,
            fault.c.equipment_id == told.equipment_id,
            sa.or_(fault.c.id == told.id, fault.c.detected_at <= told_at),
        )
        .values(acknowledged_at=sa.func.now(), acknowledged_by=by)
        .returning(fault)
    )
    return [StoredFault.of(row) for row in changed]


async def claim_unanswered(
    session: AsyncSession, policy: EscalationPolicy, *, limit: int
) -> Sequence[HandledFault]:
    """Find and lock faults whose time to be passed on has come; none that another replica has.

    A due time that lies further ahead than any can was set before the clock was set back: it has come.
    """
    now = sa.func.now()
    rows = await session.execute(
        _select()
        .where(
            _UNANSWERED,
            fault.c.escalation < policy.at_most,
            sa.or_(fault.c.escalate_at <= now, fault.c.escalate_at > now + 2 * policy.after),
        )
        .order_by(fault.c.escalate_at)
        .limit(limit)
        .with_for_update(of=fault, skip_locked=True)
    )
    return _read(rows)


async def pass_on(session: AsyncSession, ids: Collection[str], policy: EscalationPolicy) -> datetime:
    """Count one more escalation of faults that this transaction holds; returns the time of it."""
    now = sa.func.now()
    once_more = fault.c.escalation + 1
    await session.execute(
        sa.update(fault)
        .where(fault.c.id.in_(ids))
        .values(
            escalation=once_more,
            escalated_at=now,
            escalate_at=sa.case((once_more < policy.at_most, now + policy.after), else_=None),
        )
    )
    at: datetime = (await session.execute(sa.select(now))).scalar_one()
    return at
