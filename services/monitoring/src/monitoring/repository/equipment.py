"""What the database remembers of machines: the rows that the rules are applied to, and their samples."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.alert_damping import Damping, Quiet
from monitoring.fault_detection import Machine
from monitoring.fault_rules import HEARTBEAT, Key, State
from monitoring.repository import faults as fault_rows
from monitoring.repository.faults import MachineKey
from monitoring.tables import CHANGES_CHANNEL, device_login, equipment, fault, sample, watch
from monitoring.telemetry import Sample
from monitoring.timeline import Timeline

Via = Literal["http", "mqtt"]
LOCK_TIMEOUT = "1s"


@dataclass(frozen=True)
class Known:
    """A piece of equipment as its row says, while this transaction holds the row."""

    branch_id: str
    id: str
    kind: str
    is_new: bool
    machine: Machine
    speaks_for: frozenset[str] | None = None


@dataclass(frozen=True)
class Heard:
    """How a machine was heard.

    Attributes:
        speaks_for: the branches of its own token; none if somebody else spoke for it.
    """

    via: Via
    speaks_for: frozenset[str] | None = None


def _key_of(text: str) -> Key:
    cause, _, key = text.partition("/")
    return Key(cause, key)  # type: ignore[arg-type]


def _damping_of(said: Mapping[str, Any]) -> Damping:
    quiet = {
        name: Quiet(datetime.fromisoformat(until), timedelta(seconds=lasts), unrung)
        for name, (until, lasts, unrung) in said.get("quiet", {}).items()
    }
    as_of = said.get("as_of")
    return Damping(said.get("spent", 0.0), datetime.fromisoformat(as_of) if as_of else None, quiet)


def _damping_row(damping: Damping) -> dict[str, Any]:
    if damping.as_of is None and not damping.quiet:
        return {}
    return {
        "spent": damping.spent,
        "as_of": damping.as_of.isoformat() if damping.as_of else None,
        "quiet": {
            name: [quiet.until.isoformat(), quiet.lasts.total_seconds(), quiet.unrung]
            for name, quiet in damping.quiet.items()
        },
    }


def _known(row: Any, faults: fault_rows.OpenFaults) -> Known:
    more = next((f.codes for key, f in faults.faults.items() if key.key == "+more"), ())
    state = State(
        open=frozenset(faults.faults),
        broken_since={_key_of(k): datetime.fromisoformat(v) for k, v in row.broken_since.items()},
        more=more,
        code_at=row.code_at,
        unsure=faults.unsure,
    )
    # A row of the release before has only what its machine said.
    newest = row.happened_at or row.recorded_at
    return Known(
        branch_id=row.branch_id,
        id=row.id,
        kind=row.kind,
        is_new=row.recorded_at is None,
        machine=Machine(
            state,
            Timeline(newest, row.back_at, row.back_since),
            _damping_of(row.damping),
            dict(faults.faults),
        ),
        speaks_for=None if row.speaks_for is None else frozenset(row.speaks_for),
    )


async def lock_machines(
    session: AsyncSession, wanted: Collection[MachineKey], kinds: Mapping[MachineKey, str] | None = None
) -> dict[MachineKey, Known]:
    """Lock those machines that nobody else holds; with ``kinds``, register those not met before.

    It never waits for a row, so one that is held for long holds up no other, and no two replicas each hold
    what the other wants.
    """
    rows = await session.execute(
        sa.select(equipment)
        .where(sa.tuple_(equipment.c.branch_id, equipment.c.id).in_(list(wanted)))
        .order_by(equipment.c.branch_id, equipment.c.id)
        .with_for_update(skip_locked=True)
    )
    locked = {(row.branch_id, row.id): row for row in rows}
    missing = sorted(set(wanted) - locked.keys())
    if kinds is not None and missing:
        # Another transaction may be registering the same machine: that is awaited, but not for long.
        await session.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        new = [{"branch_id": b, "id": i, "kind": kinds[b, i]} for b, i in missing]
        made = await session.execute(
            insert(equipment).values(new).on_conflict_do_nothing().returning(equipment)
        )
        locked |= {(row.branch_id, row.id): row for row in made}
    open_faults = await fault_rows.read_open(session, locked)
    nothing = fault_rows.OpenFaults()
    return {key: _known(row, open_faults.get(key, nothing)) for key, row in locked.items()}


async def store_samples(
    session: AsyncSession, samples: Iterable[Sample]
) -> set[tuple[str, str, datetime, str | None]]:
    """Store samples; those known already are left alone. Returns which are new."""
    rows = [
        {
            "branch_id": s.branch_id,
            "equipment_id": s.equipment_id,
            "recorded_at": s.recorded_at,
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
        .returning(sample.c.branch_id, sample.c.equipment_id, sample.c.recorded_at, sample.c.fault_code)
    )
    return {(row.branch_id, row.equipment_id, row.recorded_at, row.fault_code) for row in stored}


@dataclass(frozen=True)
class Judged:
    """A machine after judging, with its newest sample if that is new."""

    known: Known
    newest: Sample | None


_remember: dict[str, Any] = {
    name: sa.bindparam(f"new_{name}")
    for name in ("broken_since", "open_faults", "happened_at", "back_at", "back_since", "code_at", "damping")
}
_this_one = sa.and_(
    equipment.c.branch_id == sa.bindparam("its_branch"), equipment.c.id == sa.bindparam("its_id")
)
_heard = {"heard_at": sa.func.now(), "heard_via": sa.bindparam("via"), "speaks_for": sa.bindparam("speaks")}
_newest: dict[str, Any] = {
    name: sa.bindparam(f"new_{name}") for name in ("kind", "recorded_at", "fault_code", "metrics")
} | {"received_at": sa.func.now()}

_STORE_REMEMBERED = sa.update(equipment).where(_this_one).values(_remember)
_STORE_HEARD = sa.update(equipment).where(_this_one).values(_remember | _heard)
_STORE_NEWEST = sa.update(equipment).where(_this_one).values(_remember | _heard | _newest)


async def store_machines(session: AsyncSession, judged: Sequence[Judged], heard: Heard | None) -> None:
    """Write what judging leaves behind. ``heard`` none: the machines said nothing."""
    speaks = None if heard is None or heard.speaks_for is None else sorted(heard.speaks_for)
    newer: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for each in judged:
        machine = each.known.machine
        row: dict[str, Any] = {
            "its_branch": each.known.branch_id,
            "its_id": each.known.id,
            "new_broken_since": {
                f"{k.cause}/{k.key}": v.isoformat() for k, v in machine.state.broken_since.items()
            },
            "new_open_faults": len(machine.faults),
            "new_happened_at": machine.timeline.newest,
            "new_back_at": machine.timeline.back_at,
            "new_back_since": machine.timeline.back_since,
            "new_code_at": machine.state.code_at,
            "new_damping": _damping_row(machine.damping),
        }
        if heard is not None:
            row |= {"via": heard.via, "speaks": speaks}
        if each.newest is None:
            others.append(row)
            continue
        newer.append(
            row
            | {
                "new_kind": each.newest.kind,
                "new_recorded_at": each.newest.recorded_at,
                "new_fault_code": each.newest.fault_code,
                "new_metrics": each.newest.metrics,
            }
        )
    connection = await session.connection()
    if newer:
        await connection.execute(_STORE_NEWEST, newer)
    if others:
        await connection.execute(_STORE_REMEMBERED if heard is None else _STORE_HEARD, others)


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


async def find_silent(
    session: AsyncSession, via: Sequence[Via], *, after: timedelta, limit: int
) -> dict[MachineKey, bool]:
    """Find machines not heard of for ``after`` whose silence is not known yet, and whether each has moved.

    One has moved if its own token, which names this branch too, was heard for another branch since.
    """
    known = (
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
            ~known,
        )
        .order_by(equipment.c.branch_id, equipment.c.id)
        .limit(limit)
        # What somebody holds is being heard.
        .with_for_update(of=equipment, skip_locked=True)
    )
    return {(row.branch_id, row.id): row.moved for row in rows}


async def retire(session: AsyncSession, key: MachineKey, *, by: str, now: datetime) -> bool:
    """Delete a machine and end its faults. Its samples stay until they are pruned."""
    branch_id, equipment_id = key
    gone = await session.execute(
        sa.delete(equipment)
        .where(equipment.c.branch_id == branch_id, equipment.c.id == equipment_id)
        .returning(equipment.c.id)
    )
    if gone.first() is None:
        return False
    await tell_left(session, equipment_id, branch_id)
    await fault_rows.end_all(session, key, by=by, now=now)
    return True


async def tell_change(session: AsyncSession, keys: Iterable[MachineKey]) -> None:
    """Wake the listeners of every replica once this transaction commits; they read all of the name."""
    payloads = [{"payload": json.dumps(name)} for name in sorted({name for _, name in keys})]
    if payloads:
        connection = await session.connection()
        notify = sa.select(sa.func.pg_notify(CHANGES_CHANNEL, sa.bindparam("payload")))
        await connection.execute(notify, payloads)


async def tell_left(session: AsyncSession, equipment_id: str, branch_id: str) -> None:
    """Tell, once this transaction commits, that a branch has a piece of equipment no more."""
    payload = json.dumps({"id": equipment_id, "left": branch_id})
    await session.execute(sa.select(sa.func.pg_notify(CHANGES_CHANNEL, payload)))


async def prune(session: AsyncSession, *, samples: timedelta, faults: timedelta, limit: int) -> int:
    """Delete a batch of what is older than it is kept. Returns how many rows went."""
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
        # A machine that flaps leaves many of which nobody was told.
        (fault, sa.and_(fault.c.cleared_at < sa.func.now() - samples, fault.c.rung_for == 0)),
        # The last of a device stays: without one it would be nobody's, and let in as a gateway is.
        (device_login, sa.and_(device_login.c.expires_at < sa.func.now() - samples, superseded)),
    ):
        row: Any = sa.literal_column(f"{table.name}.ctid")
        found = sa.select(row).select_from(table).where(old).limit(limit).with_for_update(skip_locked=True)
        deleted = await session.execute(sa.delete(table).where(row.in_(found)).returning(sa.literal(1)))
        gone += len(deleted.all())
    return gone
