"""A fault whose copy from the history comes first rings all the same when it comes itself."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from laundry_events.headers import REPLAYED
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from notification.tables import notifications

from .conftest import World, a_fault
from .fault_messages import a_message, an_intake, passed_on, taken

pytestmark = pytest.mark.servers


async def test_a_fault_that_comes_itself_after_its_copy_from_the_history_rings_once(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    # It waits for its next attempt, or in an outbox, while it is told again from the history.
    fault = a_fault()
    id_ = await world.publish(fault, replayed=True)
    await world.settled("owner", "b1", sub="kim", state="suppressed")
    assert await world.phones.got(token) == []
    await world.publish(fault, event_id=id_)
    (push,) = await world.phones.gets(token)
    assert push["data"]["event_id"] == id_
    (told,) = await world.settled("owner", "b1", sub="kim", state="sent")
    assert told["event_id"] == id_
    for replayed in (False, True):
        await world.publish(fault, event_id=id_, replayed=replayed)
    last = a_fault(equipment_id="washer-4")
    await world.publish(last)

    async def stored() -> bool:
        return len(await world.history("owner", "b1", sub="kim")) == 2

    await eventually(stored, what="the fault behind them")
    await world.settled("owner", "b1", sub="kim", state="sent")
    pushes = await world.phones.got(token)
    assert [push["data"]["event_id"] for push in pushes].count(id_) == 1


async def states(database: Database) -> list[str]:
    async with database.session() as session:
        return list(await session.scalars(sa.select(notifications.c.state)))


@pytest.mark.parametrize("copy_first", [True, False])
async def test_of_both_at_once_the_fault_itself_counts(
    alone: World, database: Database, copy_first: bool
) -> None:
    await alone.register("owner", "b1", sub="kim")
    intake, fault, itself = an_intake(database), a_fault(), a_message()
    copy = replace(itself, headers={REPLAYED: "2026-05-01T12:00:00+00:00"})
    both = (copy, itself) if copy_first else (itself, copy)
    await asyncio.gather(*(intake.handle(fault, each) for each in both))
    assert await states(database) == ["pending"]


async def test_what_somebody_takes_care_of_does_not_ring_after_all(alone: World, database: Database) -> None:
    await alone.register("owner", "b1", sub="kim")
    intake, fault, itself = an_intake(database), a_fault(), a_message()
    await intake.handle(fault, replace(itself, headers={REPLAYED: "2026-05-01T12:00:00+00:00"}))
    await intake.acknowledged(taken(fault), a_message())
    await intake.handle(fault, itself)
    assert await states(database) == ["suppressed"]


async def test_what_passes_a_fault_on_rings_the_next_though_its_copy_came_first(
    alone: World, database: Database
) -> None:
    for who in ("kim", "lee"):
        await alone.register("owner", "b1", sub=who)
    intake, fault, itself = an_intake(database), a_fault(), a_message()
    await intake.handle(fault, a_message())
    assert sorted(await states(database)) == ["pending", "standby"]
    later = passed_on(fault)
    await intake.handle(later, replace(itself, headers={REPLAYED: "2026-05-01T12:00:00+00:00"}))
    assert sorted(await states(database)) == ["pending", "standby"]
    await intake.handle(later, itself)
    assert await states(database) == ["pending", "pending"]
