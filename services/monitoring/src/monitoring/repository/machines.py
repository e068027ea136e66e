"""Queries about what is remembered of machines. Each works in its caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.alert_damping import DampingState, QuietPeriod
from monitoring.fault_rules import OVERFLOW, Cause, FaultKey, FaultState
from monitoring.machine import Contact, MachineKey, MachineState
from monitoring.repository import faults, notices
from monitoring.repository.faults import OpenFaults
from monitoring.tables import equipment
from monitoring.telemetry import Sample
from monitoring.timeline import Timeline

LOCK_TIMEOUT = "1s"


@dataclass(frozen=True)
class LockedMachine:
    """A machine whose row this transaction holds."""

    key: MachineKey
    kind: str
    is_new: bool
    state: MachineState


def _fault_key(text: str) -> FaultKey:
    cause, _, key = text.partition("/")
    return FaultKey(cast("Cause", cause), key)


def _damping(column: Mapping[str, Any]) -> DampingState:
    quiet = {
        name: QuietPeriod(datetime.fromisoformat(until), timedelta(seconds=duration), suppressed)
        for name, (until, duration, suppressed) in column.get("quiet", {}).items()
    }
    as_of = column.get("as_of")
    return DampingState(column.get("spent", 0.0), datetime.fromisoformat(as_of) if as_of else None, quiet)


def _damping_column(damping: DampingState) -> dict[str, Any]:
    if damping.as_of is None and not damping.quiet:
        return {}
    return {
        "spent": damping.spent,
        "as_of": damping.as_of.isoformat() if damping.as_of else None,
        "quiet": {
            name: [quiet.until.isoformat(), quiet.duration.total_seconds(), quiet.suppressed]
            for name, quiet in damping.quiet.items()
        },
    }


def _machine(row: Any, found: OpenFaults) -> LockedMachine:
    overflow = found.faults.get(OVERFLOW)
    fault_state = FaultState(
        open=frozenset(found.faults),
        broken_since={_fault_key(k): datetime.fromisoformat(v) for k, v in row.broken_since.items()},
        overflow_codes=overflow.codes if overflow is not None else (),
        code_at=row.code_at,
        unconfirmed=found.unconfirmed,
    )
    # Rows of the previous release have only the time that the machine stated.
    newest = row.happened_at or row.recorded_at
    return LockedMachine(
        key=MachineKey(row.branch_id, row.id),
        kind=row.kind,
        is_new=row.recorded_at is None,
        state=MachineState(
            fault_state,
            Timeline(newest, row.back_at, row.back_since),
            _damping(row.damping),
            dict(found.faults),
        ),
    )


async def lock_machines(
    session: AsyncSession, wanted: Collection[MachineKey], kinds: Mapping[MachineKey, str] | None = None
) -> dict[MachineKey, LockedMachine]:
    """Lock the machines whose rows are not locked; with ``kinds``, register the unknown ones.

    It never waits for a row, so one that is held for long delays no other, and no two replicas each hold what
    the other wants.
    """
    rows = await session.execute(
        sa.select(equipment)
        .where(sa.tuple_(equipment.c.branch_id, equipment.c.id).in_(list(wanted)))
        .order_by(equipment.c.branch_id, equipment.c.id)
        .with_for_update(skip_locked=True)
    )
    locked = {MachineKey(row.branch_id, row.id): row for row in rows}
    missing = sorted(set(wanted) - locked.keys())
    if kinds is not None and missing:
        # Another transaction may be registering the same machine: wait briefly for that.
        await session.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        new = [{"branch_id": key.branch_id, "id": key.equipment_id, "kind": kinds[key]} for key in missing]
        registered = await session.execute(
            insert(equipment).values(new).on_conflict_do_nothing().returning(equipment)
        )
        locked |= {MachineKey(row.branch_id, row.id): row for row in registered}
    open_faults = await faults.read_open(session, locked)
    return {key: _machine(row, open_faults.get(key, OpenFaults())) for key, row in locked.items()}


@dataclass(frozen=True)
class EvaluatedMachine:
    """A machine after detection.

    Attributes:
        contact: how its samples arrived; ``None`` if it sent nothing.
        newest: its newest sample, if that is new.
    """

    machine: LockedMachine
    contact: Contact | None
    newest: Sample | None


_REMEMBERED: dict[str, Any] = {
    name: sa.bindparam(f"new_{name}")
    for name in ("broken_since", "open_faults", "happened_at", "back_at", "back_since", "code_at", "damping")
}
_HEARD: dict[str, Any] = _REMEMBERED | {
    "heard_at": sa.func.now(),
    "heard_via": sa.bindparam("via"),
    "speaks_for": sa.bindparam("token_branches"),
}
_NEWEST: dict[str, Any] = (
    _HEARD
    | {name: sa.bindparam(f"new_{name}") for name in ("kind", "recorded_at", "fault_code", "metrics")}
    | {"received_at": sa.func.now()}
)


def _update(values: dict[str, Any]) -> sa.Update:
    this_row = sa.and_(
        equipment.c.branch_id == sa.bindparam("its_branch"), equipment.c.id == sa.bindparam("its_id")
    )
    return sa.update(equipment).where(this_row).values(values)


_STORE_REMEMBERED, _STORE_HEARD, _STORE_NEWEST = (_update(each) for each in (_REMEMBERED, _HEARD, _NEWEST))


async def store_machines(session: AsyncSession, evaluated: Sequence[EvaluatedMachine]) -> None:
    """Write what detection leaves behind."""
    remembered: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = []
    newer: list[dict[str, Any]] = []
    for each in evaluated:
        row = _parameters(each.machine)
        if each.contact is None:
            remembered.append(row)
            continue
        branches = each.contact.token_branches
        row |= {"via": each.contact.via, "token_branches": None if branches is None else sorted(branches)}
        if each.newest is None:
            heard.append(row)
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
    for statement, rows in ((_STORE_NEWEST, newer), (_STORE_HEARD, heard), (_STORE_REMEMBERED, remembered)):
        if rows:
            await connection.execute(statement, rows)


def _parameters(machine: LockedMachine) -> dict[str, Any]:
    state = machine.state
    return {
        "its_branch": machine.key.branch_id,
        "its_id": machine.key.equipment_id,
        "new_broken_since": {
            str(key): since.isoformat() for key, since in state.fault_state.broken_since.items()
        },
        "new_open_faults": len(state.faults),
        "new_happened_at": state.timeline.newest,
        "new_back_at": state.timeline.out_of_order_at,
        "new_back_since": state.timeline.out_of_order_since,
        "new_code_at": state.fault_state.code_at,
        "new_damping": _damping_column(state.damping),
    }


async def retire(session: AsyncSession, key: MachineKey, *, reason: str, now: datetime) -> bool:
    """Delete a machine and end its faults. Its samples stay until they are pruned.

    Returns:
        false if there is no such machine.
    """
    gone = await session.execute(
        sa.delete(equipment)
        .where(equipment.c.branch_id == key.branch_id, equipment.c.id == key.equipment_id)
        .returning(equipment.c.id)
    )
    if gone.first() is None:
        return False
    await notices.notify_gone(session, key)
    await faults.end_all(session, key, reason=reason, now=now)
    return True
