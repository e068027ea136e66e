"""Every query of the monitoring service that writes, and those that the rules need."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.faults import HEARTBEAT, Found, Key, State
from monitoring.tables import CHANGES_CHANNEL, equipment, fault, mqtt_login, sample, watch
from monitoring.telemetry import Sample

Via = Literal["http", "mqtt"]


@dataclass(frozen=True)
class Known:
    """A piece of equipment as its row says, while this transaction holds the row."""

    id: str
    branch_id: str
    kind: str
    recorded_at: datetime | None
    state: State
    fault_ids: dict[Key, str]


@dataclass(frozen=True)
class NewFault:
    """A fault to store."""

    id: str
    equipment_id: str
    branch_id: str
    found: Found
    detected_at: datetime


def _key_text(key: Key) -> str:
    return f"{key.cause}/{key.key}"


def _key_of(text: str) -> Key:
    cause, _, key = text.partition("/")
    return Key(cause, key)  # type: ignore[arg-type]


async def lock_equipment(session: AsyncSession, samples: Sequence[Sample]) -> dict[str, Known]:
    """Register equipment not met before, and lock the rows of all, always in the order of their ids."""
    first = {s.equipment_id: s for s in reversed(samples)}
    new = [{"id": i, "branch_id": first[i].branch_id, "kind": first[i].kind} for i in sorted(first)]
    locked: Sequence[Any] = ()
    # A second time only if one was retired in between.
    while len(locked) < len(first):
        await session.execute(insert(equipment).values(new).on_conflict_do_nothing())
        rows = await session.execute(
            sa.select(equipment).where(equipment.c.id.in_(first)).order_by(equipment.c.id).with_for_update()
        )
        locked = rows.all()
    open_rows = await session.execute(
        sa.select(fault.c.id, fault.c.equipment_id, fault.c.cause, fault.c.key).where(
            fault.c.equipment_id.in_(first), fault.c.cleared_at.is_(None)
        )
    )
    open_faults: dict[str, dict[Key, str]] = {}
    for row in open_rows:
        open_faults.setdefault(row.equipment_id, {})[Key(row.cause, row.key)] = row.id
    return {row.id: _known(row, open_faults.get(row.id, {})) for row in locked}


def _known(row: Any, open_faults: dict[Key, str]) -> Known:
    broken_since = {_key_of(k): datetime.fromisoformat(v) for k, v in row.broken_since.items()}
    return Known(
        id=row.id,
        branch_id=row.branch_id,
        kind=row.kind,
        recorded_at=row.recorded_at,
        state=State(frozenset(open_faults), broken_since),
        fault_ids=open_faults,
    )


async def store_samples(session: AsyncSession, samples: Iterable[Sample]) -> set[tuple[str, datetime]]:
    """Store samples; those known already are left alone. Returns which are new."""
    rows = [
        {
            "equipment_id": s.equipment_id,
            "recorded_at": s.recorded_at,
            "branch_id": s.branch_id,
            "fault_code": s.fault_code,
            "metrics": s.metrics,
        }
        for s in samples
    ]
    if not rows:
        return set()
    stored = await session.execute(
        insert(sample)
        .values(rows)
        .on_conflict_do_nothing()
        .returning(sample.c.equipment_id, sample.c.recorded_at)
    )
    return {(row.equipment_id, row.recorded_at) for row in stored}


async def store_newest(session: AsyncSession, newest: Sample, state: State, *, via: Via) -> None:
    """Write what the newest sample leaves behind."""
    await session.execute(
        sa.update(equipment)
        .where(equipment.c.id == newest.equipment_id)
        .values(
            branch_id=newest.branch_id,
            kind=newest.kind,
            recorded_at=newest.recorded_at,
            received_at=sa.func.now(),
            fault_code=newest.fault_code,
            metrics=newest.metrics,
            heard_at=sa.func.now(),
            heard_via=via,
            broken_since={_key_text(k): v.isoformat() for k, v in state.broken_since.items()},
            open_faults=len(state.open),
        )
    )


async def store_heard(session: AsyncSession, equipment_id: str, *, via: Via) -> None:
    """Note a sign of life that changes nothing else."""
    await session.execute(
        sa.update(equipment)
        .where(equipment.c.id == equipment_id)
        .values(heard_at=sa.func.now(), heard_via=via)
    )


async def open_fault(session: AsyncSession, new: NewFault) -> None:
    """Store a fault that began.

    Raises:
        IntegrityError: the same trouble is open already.
    """
    await session.execute(
        sa.insert(fault).values(
            id=new.id,
            equipment_id=new.equipment_id,
            branch_id=new.branch_id,
            cause=new.found.key.cause,
            key=new.found.key.key,
            fault_code=new.found.fault_code,
            metric=new.found.metric,
            value=new.found.value,
            limit_value=new.found.limit,
            detected_at=new.detected_at,
        )
    )


async def clear_fault(session: AsyncSession, fault_id: str, *, by: str, now: datetime) -> None:
    """Note that a fault is over."""
    await session.execute(
        sa.update(fault).where(fault.c.id == fault_id).values(cleared_at=now, cleared_by=by)
    )


async def note_hearing(session: AsyncSession, via: Sequence[Via], *, deaf_after: timedelta) -> bool:
    """Note that samples can be heard by these ways now.

    After a gap of more than ``deaf_after`` since anybody noted it, hearing begins anew. The rows stay locked
    until the transaction ends.

    Returns:
        false if another replica holds them: it is looking.
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


async def lock_silent(
    session: AsyncSession, via: Sequence[Via], *, after: timedelta, limit: int
) -> Sequence[Any]:
    """Lock equipment that was not heard of for ``after`` and whose silence is not known yet."""
    known = (
        sa.select(fault.c.id)
        .where(
            fault.c.equipment_id == equipment.c.id,
            fault.c.cause == HEARTBEAT.cause,
            fault.c.cleared_at.is_(None),
        )
        .exists()
    )
    rows = await session.execute(
        sa.select(equipment.c.id, equipment.c.branch_id, equipment.c.kind)
        .join(watch, watch.c.via == equipment.c.heard_via)
        .where(
            equipment.c.heard_via.in_(via),
            equipment.c.heard_at < sa.func.now() - after,
            watch.c.hearing_since < sa.func.now() - after,
            ~known,
        )
        .order_by(equipment.c.id)
        .limit(limit)
        .with_for_update(of=equipment, skip_locked=True)
    )
    return rows.all()


async def count_fault(session: AsyncSession, equipment_id: str) -> None:
    """Count one more open fault of a piece of equipment."""
    await session.execute(
        sa.update(equipment)
        .where(equipment.c.id == equipment_id)
        .values(open_faults=equipment.c.open_faults + 1)
    )


async def retire(session: AsyncSession, equipment_id: str, *, now: datetime) -> bool:
    """Delete a piece of equipment and clear its faults. Its samples stay until they are pruned."""
    deleted = await session.execute(
        sa.delete(equipment).where(equipment.c.id == equipment_id).returning(equipment.c.branch_id)
    )
    if (gone := deleted.first()) is None:
        return False
    await tell_left(session, equipment_id, gone.branch_id)
    await session.execute(
        sa.update(fault)
        .where(fault.c.equipment_id == equipment_id, fault.c.cleared_at.is_(None))
        .values(cleared_at=now, cleared_by="retired")
    )
    return True


async def tell_change(session: AsyncSession, equipment_ids: Iterable[str]) -> None:
    """Wake the listeners of every replica once this transaction commits."""
    for equipment_id in equipment_ids:
        await session.execute(sa.select(sa.func.pg_notify(CHANGES_CHANNEL, json.dumps(equipment_id))))


async def tell_left(session: AsyncSession, equipment_id: str, branch_id: str) -> None:
    """Tell, once this transaction commits, that a branch has a piece of equipment no more."""
    payload = json.dumps({"id": equipment_id, "left": branch_id})
    await session.execute(sa.select(sa.func.pg_notify(CHANGES_CHANNEL, payload)))


async def store_login(session: AsyncSession, equipment_id: str, branches: Iterable[str]) -> None:
    """Remember which branches a device's token named at its login to the broker."""
    new = insert(mqtt_login).values(equipment_id=equipment_id, branches=sorted(branches))
    await session.execute(
        new.on_conflict_do_update(
            index_elements=[mqtt_login.c.equipment_id],
            set_={"branches": new.excluded.branches, "logged_in_at": sa.func.now()},
        )
    )


async def login_branches(session: AsyncSession, equipment_id: str) -> frozenset[str] | None:
    """Return the branches of a device's last login; none if it never logged in through us."""
    row = await session.execute(
        sa.select(mqtt_login.c.branches).where(mqtt_login.c.equipment_id == equipment_id)
    )
    found = row.scalar_one_or_none()
    return None if found is None else frozenset(found)


async def prune(session: AsyncSession, *, samples: timedelta, faults: timedelta, limit: int) -> int:
    """Delete a batch of what is older than it is kept. Returns how many rows went."""
    gone = 0
    for table, moment, kept in (
        (sample, sample.c.received_at, samples),
        (fault, fault.c.cleared_at, faults),
    ):
        key = list(table.primary_key.columns)
        old = (
            sa.select(*key)
            .where(moment < sa.func.now() - kept)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await session.execute(sa.delete(table).where(sa.tuple_(*key).in_(old)).returning(*key))
        gone += len(deleted.all())
    return gone
