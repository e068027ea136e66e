"""The rows of faults: those that are open, and what becomes of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.fault_detection import Fault, Outcome
from monitoring.fault_rules import Found, Key
from monitoring.tables import fault

MachineKey = tuple[str, str]
"""A machine's branch and its name there."""

Standings = Mapping[str, tuple[Fault, bool]]
"""Open faults of a machine by their ids, each with whether it may be over already."""


@dataclass(frozen=True)
class OpenFaults:
    """The open faults of one machine, and which of them may be over already."""

    faults: dict[Key, Fault] = field(default_factory=dict)
    unsure: frozenset[Key] = frozenset()


def _fault(row: Any) -> Fault:
    return Fault(
        id=row.id,
        found=Found(Key(row.cause, row.key), row.fault_code, row.metric, row.value, row.limit_value),
        detected_at=row.detected_at,
        recorded_at=row.recorded_at,
        clock_off=row.clock_off,
        count=row.count,
        codes=tuple(row.codes),
        due_at=row.due_at,
        rung_for=row.rung_for,
        flapping=row.flapping,
    )


async def read_open(session: AsyncSession, keys: Collection[MachineKey]) -> dict[MachineKey, OpenFaults]:
    """Read the open faults of these machines."""
    rows = await session.execute(
        sa.select(fault).where(
            sa.tuple_(fault.c.branch_id, fault.c.equipment_id).in_(list(keys)), fault.c.cleared_at.is_(None)
        )
    )
    found: dict[MachineKey, dict[Key, Fault]] = {}
    unsure: dict[MachineKey, set[Key]] = {}
    for row in rows:
        machine, key = (row.branch_id, row.equipment_id), Key(row.cause, row.key)
        found.setdefault(machine, {})[key] = _fault(row)
        if row.unsure:
            unsure.setdefault(machine, set()).add(key)
    return {key: OpenFaults(faults, frozenset(unsure.get(key, ()))) for key, faults in found.items()}


@dataclass
class Changes:
    """What is to be written of the faults of some machines, at one moment."""

    now: datetime
    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)

    def note(self, key: MachineKey, before: Standings, after: Standings, outcome: Outcome) -> None:
        """Note how a machine's faults differ from ``before``."""
        rung = {ring.fault.id for ring in outcome.rung}
        for fault_id, (found, by) in outcome.ended.items():
            row = _row(found, unsure=False) | {"cleared_at": self.now, "cleared_by": by}
            rung_at = self.now if fault_id in rung else None
            self._add(row, found, rung_at, None if fault_id in before else key)
        for fault_id, (found, unsure) in after.items():
            if before.get(fault_id) == (found, unsure) and fault_id not in rung:
                continue
            row = _row(found, unsure=unsure) | {"cleared_at": None, "cleared_by": None}
            rung_at = self.now if fault_id in rung else None
            self._add(row, found, rung_at, None if fault_id in before else key)

    def _add(
        self, row: dict[str, Any], found: Fault, rung_at: datetime | None, begins_at: MachineKey | None
    ) -> None:
        if begins_at is None:
            changed = {f"new_{name}": value for name, value in row.items()}
            self.changed.append(changed | {"its_id": found.id, "rung_now": rung_at})
            return
        branch_id, equipment_id = begins_at
        self.new.append(
            row
            | {
                "id": found.id,
                "branch_id": branch_id,
                "equipment_id": equipment_id,
                "cause": found.found.key.cause,
                "key": found.found.key.key,
                "fault_code": found.found.fault_code,
                "metric": found.found.metric,
                "value": found.found.value,
                "limit_value": found.found.limit,
                "detected_at": found.detected_at,
                "recorded_at": found.recorded_at,
                "clock_off": found.clock_off,
                "rung_at": rung_at,
            }
        )

    async def write(self, session: AsyncSession) -> None:
        """Write all, what ended first: the same trouble may have begun anew."""
        connection = await session.connection()
        if self.changed:
            ordered = sorted(self.changed, key=lambda row: (row["new_cleared_at"] is None, row["its_id"]))
            await connection.execute(_UPDATE, ordered)
        if self.new:
            await connection.execute(sa.insert(fault), self.new)


_CHANGING = ("cleared_at", "cleared_by", "count", "codes", "due_at", "rung_for", "flapping", "unsure")
_UPDATE = (
    sa.update(fault)
    .where(fault.c.id == sa.bindparam("its_id"))
    .values(
        {name: sa.bindparam(f"new_{name}") for name in _CHANGING}
        | {"rung_at": sa.func.coalesce(sa.bindparam("rung_now", type_=fault.c.rung_at.type), fault.c.rung_at)}
    )
)


def _row(found: Fault, *, unsure: bool) -> dict[str, Any]:
    return {
        "count": found.count,
        "codes": list(found.codes),
        "due_at": found.due_at,
        "rung_for": found.rung_for,
        "flapping": found.flapping,
        "unsure": unsure,
    }


async def end_all(session: AsyncSession, key: MachineKey, *, by: str, now: datetime) -> None:
    """End every open fault of a machine."""
    await session.execute(
        sa.update(fault)
        .where(fault.c.branch_id == key[0], fault.c.equipment_id == key[1], fault.c.cleared_at.is_(None))
        .values(cleared_at=now, cleared_by=by)
    )


async def find_due(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[MachineKey]:
    """Find machines with a fault whose time to ring has come, those that wait longest first."""
    rows = await session.execute(
        sa.select(fault.c.branch_id, fault.c.equipment_id)
        .where(fault.c.due_at <= now, fault.c.cleared_at.is_(None))
        .group_by(fault.c.branch_id, fault.c.equipment_id)
        .order_by(sa.func.min(fault.c.due_at))
        .limit(limit)
    )
    return [(row.branch_id, row.equipment_id) for row in rows]
