"""A machine whose row cannot be read costs no other its alerts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from laundry_service.storage.database import Database
from laundry_testing.logs import logged_by
from monitoring.service import equipment_monitor
from monitoring.service.equipment_monitor import EquipmentMonitor
from monitoring.tables import equipment, fault, watch

pytestmark = pytest.mark.servers
NUMBER = 7
BROKEN = ("m0", "m3")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool=2)
    yield database
    await database.close()


@pytest.fixture
async def monitor(world: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> EquipmentMonitor:
    """Machines that have been silent for long, two of which have a state that nobody can read."""
    monkeypatch.setattr(equipment_monitor, "BATCH", 3)
    long_ago = sa.func.now() - timedelta(hours=2)
    async with database.transaction() as session:
        await session.execute(
            sa.insert(equipment),
            [{"branch_id": "b1", "id": f"m{n}", "kind": "washer"} for n in range(NUMBER)],
        )
        await session.execute(
            sa.update(equipment).values(
                heard_at=long_ago, heard_via="http", recorded_at=long_ago, happened_at=long_ago
            )
        )
        await session.execute(
            sa.update(equipment)
            .where(equipment.c.id.in_(BROKEN))
            .values(damping=sa.literal({"as_of": "no time"}, JSONB))
        )
        await session.execute(
            sa.insert(watch).values(via="http", looked_at=sa.func.now(), hearing_since=long_ago)
        )
    return EquipmentMonitor(world.settings(), database)


async def hears_none() -> bool:
    return False


def passed_by(lines: Any) -> list[str]:
    return [line["equipment_id"] for line in lines if line["event"] == "a machine is passed by"]


async def test_one_that_cannot_be_read_does_not_hide_that_others_are_silent(
    world: Any, monitor: EquipmentMonitor
) -> None:
    with (
        logged_by("monitoring.service.equipment_monitor") as lines,
        pytest.raises(ValueError, match="no time"),
    ):
        await monitor.look_for_silence(hears_none)
    told = {event["equipment_id"] for event in await world.events()}
    assert told == {f"m{n}" for n in range(NUMBER)} - set(BROKEN)
    assert passed_by(lines) == list(BROKEN)


async def test_one_that_cannot_be_read_does_not_keep_others_from_ringing(
    world: Any, monitor: EquipmentMonitor, database: Database
) -> None:
    now = datetime.now(UTC)
    async with database.transaction() as session:
        await session.execute(
            sa.insert(fault),
            [
                {
                    "id": f"f{n}",
                    "branch_id": "b1",
                    "equipment_id": f"m{n}",
                    "cause": "fault_code",
                    "key": "E1",
                    "fault_code": "E1",
                    "detected_at": now - timedelta(seconds=60 - n),
                    "recorded_at": now - timedelta(seconds=60 - n),
                    "due_at": now - timedelta(seconds=30 - n),
                    "count": 1,
                }
                for n in range(NUMBER)
            ],
        )
    with (
        logged_by("monitoring.service.equipment_monitor") as lines,
        pytest.raises(ValueError, match="no time"),
    ):
        await monitor.alert_due()
    told = {event["equipment_id"] for event in await world.events()}
    assert told == {f"m{n}" for n in range(NUMBER)} - set(BROKEN)
    assert passed_by(lines) == list(BROKEN)


async def test_machines_that_others_hold_are_left_to_them(
    world: Any, monitor: EquipmentMonitor, database: Database
) -> None:
    """Were they looked for again and again, the look would not end."""
    now = datetime.now(UTC)
    row = {"branch_id": "b1", "cause": "fault_code", "key": "E1", "fault_code": "E1", "detected_at": now}
    async with database.transaction() as session:
        for n in (1, 2, 4):
            await session.execute(
                sa.insert(fault).values(row | {"id": f"f{n}", "equipment_id": f"m{n}", "due_at": now})
            )
    async with database.transaction() as holder:
        await holder.execute(sa.select(equipment.c.id).with_for_update())
        assert await monitor.alert_due() == 0
    assert await monitor.alert_due() == 3
