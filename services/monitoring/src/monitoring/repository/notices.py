"""Notices to the event streams of every replica. They are sent once the caller's transaction commits.

A payload is JSON: a name, whose machines changed, or ``{"id", "left"}`` for a machine that a branch lost.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.machine import MachineKey
from monitoring.tables import CHANGES_CHANNEL


@dataclass(frozen=True)
class Notices:
    """What some payloads name: the names to read again, and the machines that a branch has lost."""

    names: frozenset[str]
    gone: tuple[MachineKey, ...]


async def notify_changed(session: AsyncSession, keys: Iterable[MachineKey]) -> None:
    """Announce that machines changed; listeners read all machines of the same name."""
    names = sorted({key.equipment_id for key in keys})
    if names:
        connection = await session.connection()
        notify = sa.select(sa.func.pg_notify(CHANGES_CHANNEL, sa.bindparam("payload")))
        await connection.execute(notify, [{"payload": json.dumps(name)} for name in names])


async def notify_gone(session: AsyncSession, key: MachineKey) -> None:
    """Announce that a branch no longer has a machine."""
    payload = json.dumps({"id": key.equipment_id, "left": key.branch_id})
    await session.execute(sa.select(sa.func.pg_notify(CHANGES_CHANNEL, payload)))


def read_notices(payloads: Sequence[str]) -> Notices:
    """Read what payloads name."""
    names: set[str] = set()
    gone: list[MachineKey] = []
    for payload in payloads:
        named = json.loads(payload)
        if isinstance(named, dict):
            gone.append(MachineKey(str(named["left"]), str(named["id"])))
            names.add(str(named["id"]))
        else:
            names.add(str(named))
    return Notices(frozenset(names), tuple(gone))
