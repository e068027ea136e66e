"""One branch, phone or row in trouble holds up nobody else's fault."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from laundry_events import new_id
from laundry_events.circuit_breaker import PAUSED
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving
from notification.app import create_faults_app
from notification.tables import deliveries, devices, fault_alerts

from .conftest import MakeSettings, World, a_fault, a_preference

pytestmark = pytest.mark.servers

# The first tries hang for as long as others are watched; the end of the test waits for them.
HANGING = {"fcm_attempt_timeout_s": 15}


async def rings(world: World, token: str, branch: str) -> None:
    """Break a washer of a branch and wait for its owner's phone."""
    before = len(await world.phones.got(token))
    fault = a_fault(branch_id=branch, equipment_id=f"washer-{new_id()[-6:]}")
    await world.publish(fault)
    pushes = await world.phones.gets(token, before + 1)
    assert pushes[-1]["data"]["equipment_id"] == fault.equipment_id


async def unsent(world: World, *conditions: sa.ColumnElement[bool], besides: str) -> int:
    """Count the pushes that still wait, besides those to one phone."""
    return await world.count(
        deliveries, deliveries.c.token != besides, deliveries.c.state == "pending", *conditions
    )


async def test_a_storm_of_ten_branches_delays_no_other(world: World) -> None:
    storming = [f"storm-{number}" for number in range(10)]
    phones = [await world.register("owner", branch, sub=f"of-{branch}") for branch in storming]
    calm = await world.register("owner", "calm", sub="kim")
    faults = [
        a_fault(branch_id=branch, equipment_id="washer-1", fault_code=f"E{number}")
        for number in range(40)
        for branch in storming
    ]
    # All of one branch as if nobody had capped it.
    faults += [a_fault(branch_id="storm-0", fault_code=f"F{number}") for number in range(300)]
    publishing = asyncio.gather(*(world.publish(fault) for fault in faults))
    rang = asyncio.Event()

    async def storm_on() -> None:
        while not rang.is_set():
            fault = a_fault(branch_id=storming[len(faults) % 10], fault_code=f"G{len(faults)}")
            faults.append(fault)
            await world.publish(fault)

    await eventually(lambda: world.phones.got(phones[0]), what="the first push of the storm")
    going_on = asyncio.create_task(storm_on())
    await rings(world, calm, "calm")
    assert await unsent(world, besides=calm), "the storm was over before"
    rang.set()
    await asyncio.gather(publishing, going_on)

    async def all_told() -> bool:
        return await world.count(deliveries, deliveries.c.state != "sent") == 0

    await eventually(all_told, within_s=60, what="the end of the storm")
    assert await world.count(deliveries, deliveries.c.state == "sent") == len(faults) + 1
    for branch, phone in zip(storming, phones, strict=True):
        pushes = await world.phones.got(phone)
        assert len(pushes) <= 12
        assert int(pushes[-1]["data"]["faults"]) == sum(fault.branch_id == branch for fault in faults)


@pytest.mark.parametrize(
    ("trouble", "tuned"),
    [
        ({"status": 429}, {}),
        ({"status": 429, "retry_after_seconds": 60}, {}),
        ({"status": 503}, {}),
        ({"delay_seconds": 60}, HANGING),
        ({"status": 400}, {}),
    ],
    ids=["429", "429 with Retry-After", "503", "hangs", "400"],
)
async def test_one_phone_in_trouble_holds_up_no_other(world: World, trouble: dict[str, int]) -> None:
    assert world.messaging is not None
    await world.register("owner", "noisy", sub="lee", token=f"noisy-{new_id()}")
    calm = await world.register("owner", "calm", sub="kim")
    await world.phones.control(token_prefix="noisy-", **trouble)
    for number in range(12):
        await world.publish(a_fault(branch_id="noisy", equipment_id=f"washer-{number}"))
    for _ in range(3):
        await rings(world, calm, "calm")
    assert await world.count(deliveries, deliveries.c.token != calm, deliveries.c.state == "sent") == 0
    if trouble.get("status") != 400:
        assert await unsent(world, besides=calm)
    if "delay_seconds" in trouble:
        # Its first try hangs still.
        assert await world.count(fault_alerts, fault_alerts.c.failures > 0) == 0
    assert PAUSED.labels("fcm")._value.get() == 0
    assert await world.messaging.count("equipment.fault.dlq") == 0


async def test_many_phones_in_trouble_hold_up_no_other(world: World) -> None:
    noisy = [f"noisy-{number}" for number in range(60)]
    for branch in noisy:
        await world.register("owner", branch, sub=f"of-{branch}", token=f"noisy-{new_id()}")
    calm = await world.register("owner", "calm", sub="kim")
    await world.phones.control(token_prefix="noisy-", status=429)
    for branch in noisy:
        await world.publish(a_fault(branch_id=branch))
    await eventually(
        lambda: world.count(fault_alerts, fault_alerts.c.failures > 0), what="the first failures"
    )
    for _ in range(3):
        await rings(world, calm, "calm")
    assert await unsent(world, besides=calm) == len(noisy)


@pytest.mark.parametrize("tuned", [HANGING], ids=["hangs"])
async def test_a_customers_phone_in_trouble_holds_up_no_other_customer(world: World) -> None:
    troubled = [f"troubled-{number}" for number in range(30)]
    for customer in troubled:
        await world.register("customer", sub=customer, token=f"hangs-{new_id()}")
    other = await world.register("customer", sub="lee")
    await world.phones.control(token_prefix="hangs-", delay_seconds=60)
    await world.publish(a_preference(*troubled))
    await eventually(lambda: world.count(deliveries, deliveries.c.state == "pending"), what="waiting pushes")
    await world.publish(a_preference("lee"))
    await world.phones.gets(other)
    waiting = await unsent(world, deliveries.c.last_error.is_(None), besides=other)
    assert waiting == len(troubled), "their first tries hang still"


@contextlib.asynccontextmanager
async def held(database: Database, query: sa.Select[tuple[object, ...]]) -> AsyncIterator[None]:
    """Hold rows as somebody would who forgot his transaction."""
    async with database.transaction() as session:
        assert (await session.execute(query.with_for_update())).first() is not None
        yield


@pytest.mark.parametrize("tuned", [{"lock_timeout_s": 2}], ids=["2 s"])
@pytest.mark.parametrize("what", ["device", "alert"])
async def test_a_row_that_somebody_holds_delays_only_its_own_branch(world: World, what: str) -> None:
    assert world.messaging is not None
    locked = await world.register("owner", "locked", sub="lee")
    calm = await world.register("owner", "calm", sub="kim")
    await world.publish(a_fault(branch_id="locked"))
    await world.phones.gets(locked)
    await world.settled("owner", "locked", sub="lee", state="sent")
    row = (
        sa.select(devices.c.token).where(devices.c.token == locked)
        if what == "device"
        else sa.select(fault_alerts.c.token).where(fault_alerts.c.token == locked)
    )
    async with held(world.database, row):
        for number in range(20):
            await world.publish(a_fault(branch_id="locked", equipment_id=f"washer-{number}"))
        for _ in range(3):
            await rings(world, calm, "calm")
        await world.register("owner", "other", sub="han")
    await eventually(
        lambda: _says(world, locked, 21), within_s=60, what="an alert of all that waited for the row"
    )
    assert await world.messaging.count("equipment.fault.dlq") == 0


async def _says(world: World, token: str, faults: int) -> bool:
    return int((await world.phones.got(token))[-1]["data"]["faults"]) == faults


async def test_two_processes_share_the_work_and_ring_once(world: World, make_settings: MakeSettings) -> None:
    assert world.messaging is not None
    tokens = {
        f"b{number}": await world.register("owner", f"b{number}", sub=f"owner-{number}")
        for number in range(30)
    }
    async with serving(create_faults_app(make_settings(amqp_url=world.messaging.amqp_url))):
        await asyncio.gather(*(world.publish(a_fault(branch_id=branch)) for branch in tokens))
        for token in tokens.values():
            await world.phones.gets(token)
        for number, (branch, token) in enumerate(tokens.items()):
            await world.settled("owner", branch, sub=f"owner-{number}", state="sent")
            assert len(await world.phones.got(token)) == 1
