"""What the API shows of equipment, and the queries that read it."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, Field, PlainSerializer
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.cursors import BadCursor, read_cursor, write_cursor
from monitoring.tables import equipment, fault
from monitoring.telemetry import is_equipment_id

RECENT_FAULTS = 20


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str)]
EquipmentState = Literal["ok", "faulty"]


class LastSample(BaseModel):
    """The newest sample by the equipment's own clock."""

    recorded_at: Moment
    received_at: Moment
    fault_code: str | None
    metrics: dict[str, float]


class FaultView(BaseModel):
    """One fault, open until ``cleared_at``."""

    id: str
    cause: Literal["fault_code", "limit", "heartbeat"]
    fault_code: str | None
    metric: str | None
    value: float | None
    limit: float | None
    detected_at: Moment
    cleared_at: Moment | None
    cleared_by: str | None = Field(
        description="code-gone, within-limit, limit-removed, heard-again, moved or retired"
    )
    recorded_at: Moment | None = Field(
        default=None, description="When it began by the machine's clock; detected_at is when that arrived"
    )
    clock_off: bool = Field(default=False, description="recorded_at is not to be trusted")
    count: int = Field(default=1, description="How many beginnings, or codes, it stands for")
    codes: list[str] = Field(default=[], description="The codes, if it stands for several")
    told_at: Moment | None = Field(
        default=None, description="When people were last told of it; none while it is held, see due_at"
    )
    due_at: Moment | None = Field(default=None, description="When they will be told if it is still open")
    flapping: bool = Field(default=False, description="It comes and goes, so that it is told less often")


class EquipmentView(BaseModel):
    """A piece of equipment."""

    id: str
    branch_id: str
    kind: str
    state: EquipmentState
    first_seen_at: Moment
    last_sample: LastSample | None
    open_faults: list[FaultView]


class EquipmentDetail(EquipmentView):
    """A piece of equipment with its newest faults, cleared ones too."""

    recent_faults: list[FaultView]


class EquipmentPage(BaseModel):
    """One page, newest equipment first."""

    items: list[EquipmentView]
    next_cursor: str | None


def _place(row: Any) -> str:
    return write_cursor(row.first_seen_at, row.id, row.branch_id)


def _read_cursor(cursor: str) -> tuple[datetime, str, str]:
    try:
        moment, identifier, branch_id = read_cursor(cursor, datetime, str, str)
    except BadCursor:
        # Those of the release before name no branch.
        moment, identifier = read_cursor(cursor, datetime, str)
        branch_id = ""
    if not is_equipment_id(identifier) or not re.fullmatch("[a-z0-9-]{0,40}", branch_id):
        raise BadCursor(cursor)
    return moment, identifier, branch_id


def _fault(row: Any) -> FaultView:
    return FaultView(
        id=row.id,
        cause=row.cause,
        fault_code=row.fault_code,
        metric=row.metric,
        value=row.value,
        limit=row.limit_value,
        detected_at=row.detected_at,
        cleared_at=row.cleared_at,
        cleared_by=row.cleared_by,
        recorded_at=row.recorded_at,
        clock_off=row.clock_off,
        count=row.count,
        codes=row.codes,
        told_at=row.rung_at,
        due_at=None if row.cleared_at else row.due_at,
        flapping=row.flapping,
    )


def _view(row: Any, open_faults: list[FaultView]) -> EquipmentView:
    last = None
    if row.recorded_at is not None:
        last = LastSample(
            recorded_at=row.recorded_at,
            received_at=row.received_at,
            fault_code=row.fault_code,
            metrics=row.metrics,
        )
    return EquipmentView(
        id=row.id,
        branch_id=row.branch_id,
        kind=row.kind,
        state="faulty" if row.open_faults else "ok",
        first_seen_at=row.first_seen_at,
        last_sample=last,
        open_faults=open_faults,
    )


async def _open_faults(
    session: AsyncSession, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[FaultView]]:
    rows = await session.execute(
        sa.select(fault)
        .where(
            sa.tuple_(fault.c.branch_id, fault.c.equipment_id).in_(list(keys)), fault.c.cleared_at.is_(None)
        )
        .order_by(fault.c.detected_at, fault.c.id)
    )
    found: dict[tuple[str, str], list[FaultView]] = {}
    for row in rows:
        found.setdefault((row.branch_id, row.equipment_id), []).append(_fault(row))
    return found


async def list_equipment(
    session: AsyncSession,
    *,
    branches: Collection[str] | None,
    state: EquipmentState | None = None,
    kind: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> EquipmentPage:
    """Read one page. ``branches`` none means all.

    Raises:
        laundry_service.cursors.BadCursor: the cursor is none of ours.
    """
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
    if cursor is not None:
        moment, identifier, branch_id = _read_cursor(cursor)
        query = query.where(
            sa.tuple_(*order)
            < sa.tuple_(
                sa.literal(moment, equipment.c.first_seen_at.type),
                sa.literal(identifier),
                sa.literal(branch_id),
            )
        )
    rows = (await session.execute(query.limit(limit + 1))).all()
    shown = rows[:limit]
    faults = await _open_faults(session, [(row.branch_id, row.id) for row in shown])
    return EquipmentPage(
        items=[_view(row, faults.get((row.branch_id, row.id), [])) for row in shown],
        next_cursor=_place(shown[-1]) if len(rows) > limit else None,
    )


async def branches_with(session: AsyncSession, equipment_id: str) -> list[str]:
    """Return the branches that have a machine of this name."""
    if not is_equipment_id(equipment_id):
        return []
    rows = await session.execute(
        sa.select(equipment.c.branch_id).where(equipment.c.id == equipment_id).order_by(equipment.c.branch_id)
    )
    return list(rows.scalars())


async def find_all(session: AsyncSession, ids: Collection[str]) -> list[EquipmentView]:
    """Read all equipment of these names, in every branch."""
    known = [id_ for id_ in ids if is_equipment_id(id_)]
    rows = (await session.execute(sa.select(equipment).where(equipment.c.id.in_(known)))).all()
    faults = await _open_faults(session, [(row.branch_id, row.id) for row in rows])
    return [_view(row, faults.get((row.branch_id, row.id), [])) for row in rows]


async def find_equipment(session: AsyncSession, equipment_id: str, branch_id: str) -> EquipmentDetail | None:
    """Read one piece of equipment with its newest faults."""
    if not is_equipment_id(equipment_id):
        return None
    row = (
        await session.execute(
            sa.select(equipment).where(equipment.c.branch_id == branch_id, equipment.c.id == equipment_id)
        )
    ).one_or_none()
    if row is None:
        return None
    newest = await session.execute(
        sa.select(fault)
        .where(fault.c.branch_id == branch_id, fault.c.equipment_id == equipment_id)
        .order_by(fault.c.detected_at.desc(), fault.c.id.desc())
        .limit(RECENT_FAULTS)
    )
    faults = (await _open_faults(session, [(branch_id, equipment_id)])).get((branch_id, equipment_id), [])
    view = _view(row, faults)
    return EquipmentDetail(**dict(view), recent_faults=[_fault(found) for found in newest])
