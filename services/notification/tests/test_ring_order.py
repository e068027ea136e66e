"""A fault rings one owner after the other, then the operators, until somebody takes care of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from laundry_events import new_id
from laundry_events.tables import inbox
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving
from notification.app import create_faults_app
from notification.ring_order import first_states
from notification.service.fault_intake import subject_of
from notification.tables import deliveries, fault_alerts, notifications, settled

from .conftest import MakeSettings, World, a_fault
from .fault_messages import a_message, an_intake, passed_on, taken

pytestmark = pytest.mark.servers


@given(has_phone=st.lists(st.booleans(), max_size=8), at_once=st.integers(1, 3))
def test_the_first_with_a_phone_ring_and_nobody_else(has_phone: list[bool], at_once: int) -> None:
    states = first_states(has_phone, at_once=at_once)
    ringing = [index for index, state in enumerate(states) if state == "pending"]
    with_phone = [index for index, phone in enumerate(has_phone) if phone]
    assert ringing == with_phone[:at_once]
    assert [state == "no_device" for state in states] == [not phone for phone in has_phone]


async def drained(world: World, *events: str) -> None:
    """Wait until these events have had their effects and no push waits or is under way."""

    async def empty() -> bool:
        # A queue would not count what is being handled.
        handled = await world.count(inbox, inbox.c.message_id.in_(events))
        waiting = await world.count(deliveries, deliveries.c.state == "pending")
        under_way = await world.count(fault_alerts, fault_alerts.c.leased_until.is_not(None))
        return handled == len(set(events)) and waiting == under_way == 0

    await eventually(empty, what="nothing on its way")


async def known(world: World, number: int) -> None:
    """Wait until so many faults are noted: one that is passed on before that rings as a new one."""

    async def are_there() -> bool:
        return len(await world.history("owner", "b1", sub="kim")) == number

    await eventually(are_there, what=f"{number} faults that are noted")


async def state_of(world: World, sub: str, *, role: str = "owner") -> str:
    (told,) = await world.history(role, "b1", sub=sub)
    return str(told["state"])


async def test_owners_ring_one_after_the_other_then_the_operators(world: World) -> None:
    first = await world.register("owner", "b1", sub="kim")
    second = await world.register("owner", "b1", "b2", sub="an", language="en")
    operator = await world.register("operator", sub="ops")
    await world.history("owner", "b1", sub="without-a-phone")
    # Ten minutes ago: what is passed on counts as new.
    fault = a_fault(detected_at=datetime.now(UTC) - timedelta(minutes=20))
    event = await world.publish(fault)
    (push,) = await world.phones.gets(first)
    assert push["data"]["link"] == f"/?fault={fault.fault_id}"
    await drained(world, event)
    assert await world.phones.got(second) == await world.phones.got(operator) == []
    states = [await state_of(world, sub) for sub in ("kim", "an", "without-a-phone")]
    assert states == ["sent", "standby", "no_device"]

    event = await world.publish(passed_on(fault))
    (push,) = await world.phones.gets(second)
    assert push["title"] == "Unanswered: Washer washer-3 failed (E21)"
    assert push["body"].startswith("Nobody has taken care of it for 10 min. Branch b1")
    await drained(world, event)
    assert await world.phones.got(operator) == []
    assert len(await world.phones.got(first)) == 1

    event_id = new_id()
    await asyncio.gather(*(world.publish(passed_on(fault, 2), event_id=event_id) for _ in range(3)))
    (push,) = await world.phones.gets(operator)
    assert push["title"] == "[미확인] 세탁기 washer-3 고장 (E21)"
    event = await world.publish(passed_on(fault, 3))
    await drained(world, event_id, event)
    assert [len(await world.phones.got(phone)) for phone in (first, second, operator)] == [1, 1, 1]
    assert await state_of(world, "ops", role="operator") == "sent"


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
async def test_what_comes_together_rings_all_whose_turn_it_is(
    alone: World, make_settings: MakeSettings, order: tuple[int, ...]
) -> None:
    phones = [await alone.register("owner", "b1", sub=name) for name in ("kim", "lee")]
    phones.append(await alone.register("operator", sub="ops"))
    fault = a_fault(detected_at=datetime.now(UTC) - timedelta(minutes=25))
    told, intake = [fault, passed_on(fault), passed_on(fault, 2)], an_intake(alone.database)
    await asyncio.gather(*(intake.handle(told[escalation], a_message()) for escalation in order))
    async with serving(create_faults_app(make_settings())):
        for phone in phones:
            (push,) = await alone.phones.gets(phone)
            assert push["data"]["escalation"] == "2"
    assert await alone.count(deliveries) == len(phones)


async def test_who_takes_care_of_it_spares_the_others_whichever_message_comes_first(world: World) -> None:
    await world.register("owner", "b1", sub="kim")
    second = await world.register("owner", "b1", sub="lee")
    for acknowledged_first in (False, True):
        fault = a_fault(equipment_id=f"washer-{acknowledged_first}")
        if not acknowledged_first:
            event = await world.publish(fault)
            await known(world, 1)
            await drained(world, event)
        await world.publish(taken(fault))
        await eventually(partial(_noted, world, acknowledged_first + 1), what="the acknowledgement")
        event = await world.publish(passed_on(fault))
        await drained(world, event)
        assert (await world.history("owner", "b1", sub="lee"))[0]["state"] == "suppressed"
    assert await world.phones.got(second) == []


async def _noted(world: World, number: int) -> bool:
    return await world.count(settled) == number


async def test_a_phone_that_is_gone_passes_it_on_at_once(world: World) -> None:
    first = await world.register("owner", "b1", sub="kim")
    second = await world.register("owner", "b1", sub="lee")
    await world.phones.uninstall(first)
    fault = a_fault()
    await world.publish(fault)
    (push,) = await world.phones.gets(second)
    assert push["data"]["fault_id"] == fault.fault_id
    assert await state_of(world, "kim") == "no_device"


async def test_a_push_that_waits_is_dropped_when_somebody_takes_care(world: World) -> None:
    phone = await world.register("owner", "b1", sub="kim")
    await world.phones.control(status=503, token_prefix=phone)
    fault = a_fault()
    await world.publish(fault)
    await eventually(lambda: world.count(deliveries), what="a push that waits")
    event = await world.publish(taken(fault))
    await drained(world, event)
    await world.phones.control()
    assert await state_of(world, "kim") == "suppressed"
    assert await world.phones.got(phone) == []


async def test_two_processes_ring_the_next_owner_once(world: World, make_settings: MakeSettings) -> None:
    assert world.messaging is not None
    await world.register("owner", "b1", sub="kim")
    second = await world.register("owner", "b1", sub="lee")
    async with serving(create_faults_app(make_settings(amqp_url=world.messaging.amqp_url))):
        faults = [a_fault(equipment_id=f"washer-{number}") for number in range(5)]
        events = await asyncio.gather(*(world.publish(fault) for fault in faults))
        await known(world, 5)
        await drained(world, *events)
        events = await asyncio.gather(*(world.publish(passed_on(fault)) for fault in faults))

        async def told_all() -> Any:
            pushes = await world.phones.got(second)
            return pushes and pushes[-1]["data"]["faults"] == "5"

        await eventually(told_all, what="an alert of all five")
        await drained(world, *events)
    states = [item["state"] for item in await world.history("owner", "b1", sub="lee")]
    assert states == ["sent"] * 5


class TestAllAtOnce:
    @pytest.fixture
    def tuned(self) -> dict[str, Any]:
        return {"fault_owners_at_once": 10}

    async def test_every_owner_rings_at_once_where_the_chain_wants_that(self, world: World) -> None:
        phones = [await world.register("owner", "b1", sub=name) for name in ("kim", "lee")]
        await world.publish(a_fault())
        for phone in phones:
            await world.phones.gets(phone)


async def test_two_replicas_that_pass_a_fault_on_at_once_ring_two_and_lose_none(
    world: World, database_url: str
) -> None:
    databases = [Database(database_url, pool=2) for _ in range(2)]
    replicas = [an_intake(database) for database in databases]
    for sub in ("kim", "lee"):
        await world.register("owner", "b1", sub=sub)
    await world.register("operator", sub="ops")
    for _ in range(10):
        fault = a_fault()
        await replicas[0].handle(fault, a_message())
        await asyncio.gather(
            *(
                replica.handle(passed_on(fault, number), a_message())
                for number, replica in enumerate(replicas, start=1)
            )
        )
        async with databases[0].session() as session:
            rung = await session.scalars(
                sa.select(notifications.c.user_id).where(notifications.c.about == subject_of(fault.fault_id))
            )
            assert set(rung) == {"kim", "lee", "ops"}
    for database in databases:
        await database.close()
