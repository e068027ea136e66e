"""What the event stream of equipment sends: reads the machines that changed, once for all listeners."""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence

from laundry_service.storage.database import Database
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, change_of
from monitoring.machine import MachineKey
from monitoring.repository import equipment
from monitoring.repository.equipment import StoredEquipment
from monitoring.repository.notices import read_notices
from monitoring.schemas import EquipmentView


def changed_equipment(database: Database) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the equipment that notices name."""

    async def look_up(payloads: Sequence[str], _: Audience) -> Iterable[Change]:
        notices = read_notices(payloads)
        async with database.session() as session:
            found = await equipment.find_by_names(session, notices.names)
        # A machine that left may have come back before this was read.
        here = {each.key for each in found}
        gone = [_gone(key) for key in notices.gone if key not in here]
        return gone + [_changed(each) for each in found]

    return look_up


def _changed(machine: StoredEquipment) -> Change:
    data = EquipmentView.of(machine).model_dump_json()
    return change_of(machine.key, machine.key.branch_id, event="equipment", data=data)


def _gone(key: MachineKey) -> Change:
    data = json.dumps({"id": key.equipment_id, "branch_id": key.branch_id, "gone": True})
    return change_of(key, key.branch_id, event="gone", data=data)
