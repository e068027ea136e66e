"""Queries that the API asks of equipment and its faults."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.fault_handling import Handling, handling_of
from monitoring.fault_rules import Cause
from monitoring.machine import MachineKey
from monitoring.tables import equipment, fault
from monitoring.telemetry import is_equipment_id

RECENT_FAULTS = 20

EquipmentState = Literal["ok", "faulty"]


@dataclass(frozen=True)
class StoredFault:
    """A row of ``fault``."""

    id: str
    branch_id: str
    equipment_id: str
    cause: Cause
    fault_code: str | None
    metric: str | None
    value: float | None
    limit_value: float | None
    detected_at: datetime
    cleared_at: datetime | None
    cleared_by: str | None
    recorded_at: datetime | None
    clock_off: bool
    count: int
    codes: list[str]
    due_at: datetime | None
    rung_at: datetime | None
    flapping: bool
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    escalate_at: datetime | None
    escalation: int
    escalated_at: datetime | None

    @property
    def handling(self) -> Handling:
        """How far people have come with it."""
        return handling_of(
            cleared_at=self.cleared_at, acknowledged_at=self.acknowledged_at, escalation=self.escalation
        )

    @classmethod
    def of(cls, row: Any) -> Self:
        """Make it from a row with these columns."""
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class StoredEquipment:
    """A row of ``equipment`` with its open faults, oldest first."""

    key: MachineKey
    kind: str
    first_seen_at: datetime
    recorded_at: datetime | None
    received_at: datetime | None
    fault_code: str | None
    metrics: dict[str, float]
    is_faulty: bool
    open_faults: list[StoredFault]


class PageStart(NamedTuple):
    """The machine after which a page begins."""

    first_seen_at: datetime
    equipment_id: str
    branch_id: str


async def _with_open_faults(session: AsyncSession, rows: Sequence[Any]) -> list[StoredEquipment]:
    keys = [MachineKey(row.branch_id, row.id) for row in rows]
    found = await session.execute(
        sa.select(fault)
        .where(sa.tuple_(fault.c.branch_id, fault.c.equipment_id).in_(keys), fault.c.cleared_at.is_(None))
        .order_by(fault.c.detected_at, fault.c.id)
    )
    open_faults: dict[MachineKey, list[StoredFault]] = {key: [] for key in keys}
    for row in found:
        open_faults[MachineKey(row.branch_id, row.equipment_id)].append(StoredFault.of(row))
    return [
        StoredEquipment(
            key=key,
            kind=row.kind,
            first_seen_at=row.first_seen_at,
            recorded_at=row.recorded_at,
            received_at=row.received_at,
            fault_code=row.fault_code,
            metrics=row.metrics,
            is_faulty=row.open_faults > 0,
            open_faults=open_faults[key],
        )
        for key, row in zip(keys, rows, strict=True)
    ]


async def list_equipment(
    session: AsyncSession,
    *,
    branches: Collection[str] | None,
    state: EquipmentState | None,
    kind: str | None,
    after: PageStart | None,
    limit: int,
) -> list[StoredEquipment]:
    """Read equipment of some branches (``None``: of all), newest first."""
    order = (equipment.c.first_seen_at, equipment.c.id, equipment.c.branch_id)
    query = sa.select(equipment).order_by(*(column.desc() for column in order))
    if branches is not None:
        query = query.where(equipment.c.branch_id.in_(branches))
    if state is not None:
        query = query.where(
            equipment.c.open_faults > 0 if state == "faulty" else equipment.c.open_faults == 0
        )
    if kind is not None:
        query = query.where(equipment.c.kind == kind)
    if after is not None:
        start = sa.tuple_(
            sa.literal(after.first_seen_at, equipment.c.first_seen_at.type),
            sa.literal(after.equipment_id),
            sa.literal(after.branch_id),
        )
        query = query.where(sa.tuple_(*order) < start)
    return await _with_open_faults(session, (await session.execute(query.limit(limit))).all())


async def branches_with(session: AsyncSession, equipment_id: str) -> list[str]:
    """Return the branches that have a machine of this name."""
    if not is_equipment_id(equipment_id):
        return []
    rows = await session.execute(
        sa.select(equipment.c.branch_id).where(equipment.c.id == equipment_id).order_by(equipment.c.branch_id)
    )
    return list(rows.scalars())


async def exists(session: AsyncSession, equipment_id: str, branch_id: str | None = None) -> bool:
    """Whether a branch, or any, has a machine of this name."""
    query = sa.select(equipment.c.id).where(equipment.c.id == equipment_id).limit(1)
    if branch_id is not None:
        query = query.where(equipment.c.branch_id == branch_id)
    return (await session.execute(query)).first() is not None


async def find_by_names(session: AsyncSession, names: Collection[str]) -> list[StoredEquipment]:
    """Read all equipment of these names, in every branch."""
    known = [name for name in names if is_equipment_id(name)]
    rows = (await session.execute(sa.select(equipment).where(equipment.c.id.in_(known)))).all()
    return await _with_open_faults(session, rows)


async def find(session: AsyncSession, key: MachineKey) -> StoredEquipment | None:
    """Read one piece of equipment."""
    rows = await session.execute(
        sa.select(equipment).where(equipment.c.branch_id == key.branch_id, equipment.c.id == key.equipment_id)
    )
    found = await _with_open_faults(session, rows.all())
    return found[0] if found else None


async def newest_faults(session: AsyncSession, key: MachineKey) -> list[StoredFault]:
    """Read the newest faults of a machine, cleared ones too, newest first."""
    rows = await session.execute(
        sa.select(fault)
        .where(fault.c.branch_id == key.branch_id, fault.c.equipment_id == key.equipment_id)
        .order_by(fault.c.detected_at.desc(), fault.c.id.desc())
        .limit(RECENT_FAULTS)
    )
    return [StoredFault.of(row) for row in rows]
