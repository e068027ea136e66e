"""Queries about open faults and what becomes of them. Each works in its caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.fault_rules import FaultDetails, FaultKey
from monitoring.machine import Fault, MachineKey, OpenFault, Outcome
from monitoring.tables import fault


@dataclass(frozen=True)
class OpenFaults:
    """The open faults of one machine, and which of them may already be over."""

    faults: dict[FaultKey, Fault] = field(default_factory=dict)
    unconfirmed: frozenset[FaultKey] = frozenset()


def _fault(row: Any) -> Fault:
    key = FaultKey(row.cause, row.key)
    return Fault(
        id=row.id,
        details=FaultDetails(key, row.fault_code, row.metric, row.value, row.limit_value),
        detected_at=row.detected_at,
        recorded_at=row.recorded_at,
        clock_off=row.clock_off,
        count=row.count,
        codes=tuple(row.codes),
        alert_due_at=row.due_at,
        alerted_count=row.rung_for,
        flapping=row.flapping,
    )


async def read_open(session: AsyncSession, keys: Collection[MachineKey]) -> dict[MachineKey, OpenFaults]:
    """Read the open faults of these machines."""
    rows = await session.execute(
        sa.select(fault).where(
            sa.tuple_(fault.c.branch_id, fault.c.equipment_id).in_(list(keys)), fault.c.cleared_at.is_(None)
        )
    )
    found: dict[MachineKey, dict[FaultKey, Fault]] = {}
    unconfirmed: dict[MachineKey, set[FaultKey]] = {}
    for row in rows:
        machine, key = MachineKey(row.branch_id, row.equipment_id), FaultKey(row.cause, row.key)
        found.setdefault(machine, {})[key] = _fault(row)
        if row.unsure:
            unconfirmed.setdefault(machine, set()).add(key)
    return {key: OpenFaults(faults, frozenset(unconfirmed.get(key, ()))) for key, faults in found.items()}


@dataclass
class FaultChanges:
    """Pending changes to the faults of some machines.

    Attributes:
        escalate_after: so long after people were told of a fault it is passed on; ``None``: never.
    """

    now: datetime
    escalate_after: timedelta | None = None
    _new: list[dict[str, Any]] = field(default_factory=list)
    _changed: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        key: MachineKey,
        before: Mapping[str, OpenFault],
        after: Mapping[str, OpenFault],
        outcome: Outcome,
    ) -> None:
        """Add how a machine's faults differ from ``before``."""
        alerted = {alert.fault.id for alert in outcome.alerts}
        for fault_id, ended in outcome.ended.items():
            row = _columns(ended.fault, unconfirmed=False)
            row |= {"cleared_at": self.now, "cleared_by": ended.reason, "escalate_after": None}
            self._add(row, ended.fault, fault_id in alerted, None if fault_id in before else key)
        for fault_id, open_fault in after.items():
            if before.get(fault_id) == open_fault and fault_id not in alerted:
                continue
            row = _columns(open_fault.fault, unconfirmed=open_fault.unconfirmed)
            row |= {"cleared_at": None, "cleared_by": None}
            row["escalate_after"] = self.escalate_after if _told(before.get(fault_id), open_fault) else None
            self._add(row, open_fault.fault, fault_id in alerted, None if fault_id in before else key)

    def _add(self, row: dict[str, Any], changed: Fault, alerted: bool, new_of: MachineKey | None) -> None:
        alerted_at = self.now if alerted else None
        if new_of is None:
            values = {f"new_{name}": value for name, value in row.items()}
            self._changed.append(values | {"its_id": changed.id, "alerted_at": alerted_at})
            return
        details = changed.details
        self._new.append(
            row
            | {
                "id": changed.id,
                "branch_id": new_of.branch_id,
                "equipment_id": new_of.equipment_id,
                "cause": details.key.cause,
                "key": details.key.key,
                "fault_code": details.fault_code,
                "metric": details.metric,
                "value": details.value,
                "limit_value": details.limit,
                "detected_at": changed.detected_at,
                "recorded_at": changed.recorded_at,
                "clock_off": changed.clock_off,
                "rung_at": alerted_at,
            }
        )

    async def write(self, session: AsyncSession) -> None:
        """Write all, what ended first: the same trouble may have begun again."""
        connection = await session.connection()
        if self._changed:
            ordered = sorted(self._changed, key=lambda row: (row["new_cleared_at"] is None, row["its_id"]))
            await connection.execute(_UPDATE, ordered)
        if self._new:
            await connection.execute(_INSERT, self._new)


def _told(before: OpenFault | None, after: OpenFault) -> bool:
    """Whether people are told of a fault now, by itself or together with others of the machine."""
    was_told = before is not None and before.fault.alert_due_at is None
    return after.fault.alert_due_at is None and not was_told


_CHANGING = ("cleared_at", "cleared_by", "count", "codes", "due_at", "rung_for", "flapping", "unsure")
_ALERTED_AT = sa.bindparam("alerted_at", type_=fault.c.rung_at.type)
_ESCALATE_AT = sa.func.now() + sa.bindparam("escalate_after", type_=sa.Interval)
_INSERT = sa.insert(fault).values(escalate_at=_ESCALATE_AT)
_UPDATE = (
    sa.update(fault)
    .where(fault.c.id == sa.bindparam("its_id"))
    .values(
        {name: sa.bindparam(f"new_{name}") for name in _CHANGING}
        | {
            "rung_at": sa.func.coalesce(_ALERTED_AT, fault.c.rung_at),
            "escalate_at": sa.func.coalesce(
                fault.c.escalate_at,
                sa.func.now() + sa.bindparam("new_escalate_after", type_=sa.Interval),
            ),
        }
    )
)


def _columns(changed: Fault, *, unconfirmed: bool) -> dict[str, Any]:
    return {
        "count": changed.count,
        "codes": list(changed.codes),
        "due_at": changed.alert_due_at,
        "rung_for": changed.alerted_count,
        "flapping": changed.flapping,
        "unsure": unconfirmed,
    }


async def end_all(session: AsyncSession, key: MachineKey, *, reason: str, now: datetime) -> None:
    """End every open fault of a machine."""
    await session.execute(
        sa.update(fault)
        .where(
            fault.c.branch_id == key.branch_id,
            fault.c.equipment_id == key.equipment_id,
            fault.c.cleared_at.is_(None),
        )
        .values(cleared_at=now, cleared_by=reason)
    )


async def find_due(
    session: AsyncSession, *, now: datetime, limit: int, but: Collection[MachineKey] = ()
) -> Sequence[MachineKey]:
    """Find machines with a fault whose time to alert has come, the longest waiting first."""
    rows = await session.execute(
        sa.select(fault.c.branch_id, fault.c.equipment_id)
        .where(
            fault.c.due_at <= now,
            fault.c.cleared_at.is_(None),
            *([sa.tuple_(fault.c.branch_id, fault.c.equipment_id).not_in(list(but))] if but else []),
        )
        .group_by(fault.c.branch_id, fault.c.equipment_id)
        .order_by(sa.func.min(fault.c.due_at))
        .limit(limit)
    )
    return [MachineKey(row.branch_id, row.equipment_id) for row in rows]
