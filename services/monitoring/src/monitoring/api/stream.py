"""Reads which equipment changed, once for all who listen.

A payload is JSON: an id, or ``{"id", "left"}`` for equipment that a branch has no more.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence

from laundry_service.database import Database
from laundry_service.streams import Audience, Change, change_of
from monitoring.repository import equipment_views as views
from monitoring.repository.equipment_views import EquipmentView


def changed_equipment(database: Database) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the equipment that payloads name."""

    async def look_up(payloads: Sequence[str], _: Audience) -> Iterable[Change]:
        ids, left = _named(payloads)
        async with database.session() as session:
            found = await views.find_all(session, ids)
        there = {(machine.branch_id, machine.id) for machine in found}
        # Who left may have come back before this was read.
        gone = [_gone(branch_id, id_) for branch_id, id_ in left if (branch_id, id_) not in there]
        return gone + [_told(machine) for machine in found]

    return look_up


def _named(payloads: Sequence[str]) -> tuple[set[str], list[tuple[str, str]]]:
    ids: set[str] = set()
    left: list[tuple[str, str]] = []
    for payload in payloads:
        named = json.loads(payload)
        if isinstance(named, dict):
            ids.add(str(named["id"]))
            left.append((str(named["left"]), str(named["id"])))
        else:
            ids.add(str(named))
    return ids, left


def _told(machine: EquipmentView) -> Change:
    key = (machine.branch_id, machine.id)
    return change_of(key, machine.branch_id, event="equipment", data=machine.model_dump_json())


def _gone(branch_id: str, id_: str) -> Change:
    data = json.dumps({"id": id_, "branch_id": branch_id, "gone": True})
    return change_of((branch_id, id_), branch_id, event="gone", data=data)
