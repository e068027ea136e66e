"""A fault that somebody takes care of at the very moment when it is told rings nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from notification.repository import ring_order, settled
from notification.tables import deliveries, notifications

from .conftest import World, a_fault
from .fault_messages import a_message, an_intake, taken

pytestmark = pytest.mark.servers


class Held:
    """Holds back whoever has just called a function, until it is released."""

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self._function = function
        self.called = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, *arguments: Any) -> Any:
        result = await self._function(*arguments)
        self.called.set()
        await self.released.wait()
        return result


async def _waits(database: Database) -> bool:
    """Whether somebody waits for what another has held."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with database.session() as session:
        return bool((await session.execute(waiting)).scalar_one())


async def _ends_or_waits(task: asyncio.Task[None], database: Database) -> None:
    async def either() -> bool:
        return task.done() or await _waits(database)

    await eventually(either, what="the acknowledgement's end or wait")


@pytest.mark.parametrize("escalation", [0, 1])
async def test_a_fault_that_is_acknowledged_while_it_is_stored_rings_nobody(
    alone: World, monkeypatch: pytest.MonkeyPatch, escalation: int
) -> None:
    await alone.register("owner", "b1", sub="kim")
    fault, intake = a_fault(escalation=escalation), an_intake(alone.database)
    held = Held(settled.which_are)
    monkeypatch.setattr(settled, "which_are", held)
    storing = asyncio.create_task(intake.handle(fault, a_message()))
    await held.called.wait()
    taking = asyncio.create_task(intake.acknowledged(taken(fault), a_message()))
    await _ends_or_waits(taking, alone.database)
    held.released.set()
    await asyncio.gather(storing, taking)
    assert await alone.count(deliveries, deliveries.c.state == "pending") == 0
    assert [each["state"] for each in await alone.history("owner", "b1", sub="kim")] == ["suppressed"]


async def test_a_storm_and_its_acknowledgements_meet_without_a_deadlock(alone: World) -> None:
    for name in ("kim", "lee"):
        await alone.register("owner", "b1", "b2", sub=name)
    intakes = [an_intake(alone.database) for _ in range(2)]
    faults = [a_fault(equipment_id=f"washer-{n}", branch_id=f"b{1 + n % 2}") for n in range(60)]
    messages = [
        *(intakes[n % 2].handle(fault, a_message()) for n, fault in enumerate(faults)),
        *(intakes[n % 2].handle(fault, a_message()) for n, fault in enumerate(reversed(faults))),
        *(intakes[n % 2].acknowledged(taken(fault), a_message()) for n, fault in enumerate(faults)),
    ]
    await asyncio.gather(*messages)
    assert await alone.count(deliveries, deliveries.c.state == "pending") == 0
    assert await alone.count(notifications, notifications.c.state != "suppressed") == 0


async def test_nobody_rings_instead_for_a_fault_that_is_acknowledged_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await world.register("owner", "b1", sub="kim")
    second = await world.register("owner", "b1", sub="lee")
    await world.phones.uninstall(gone)
    await world.phones.control(status=503, token_prefix=second)
    held = Held(ring_order.next_owners)
    monkeypatch.setattr(ring_order, "next_owners", held)
    fault = a_fault()
    await world.publish(fault)
    await eventually(held.called.is_set, what="the search for who rings instead")
    taking = asyncio.create_task(an_intake(world.database).acknowledged(taken(fault), a_message()))
    await _ends_or_waits(taking, world.database)
    held.released.set()
    await taking
    await eventually(lambda: _states(world, "no_device", "suppressed"), what="both owners' ends")
    assert await world.count(deliveries, deliveries.c.state == "pending") == 0


async def _states(world: World, *states: str) -> bool:
    return [(await world.history("owner", "b1", sub=sub))[0]["state"] for sub in ("kim", "lee")] == [*states]


async def test_a_fault_that_comes_again_after_it_was_acknowledged_rings_nobody(alone: World) -> None:
    await alone.register("owner", "b1", sub="kim")
    fault, message, intake = a_fault(), a_message(), an_intake(alone.database)
    await intake.handle(fault, message)
    async with alone.database.transaction() as session:
        await session.execute(sa.update(deliveries).values(state="failed"))
        await session.execute(sa.update(notifications).values(state="failed"))
    await intake.acknowledged(taken(fault), a_message())
    await intake.handle(fault, message)
    assert await alone.count(deliveries, deliveries.c.state == "pending") == 0
