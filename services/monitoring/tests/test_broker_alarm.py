"""While the broker takes nothing no machine is heard by MQTT, and none is silent for that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from laundry_events.plan import Plan
from laundry_servers import choice, rabbitmqctl, vhosts
from laundry_servers.choice import Kind
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ
from laundry_testing.messaging import Messaging, apply_plan, eventually
from monitoring.service import broker_probe
from monitoring.service.broker_probe import BrokerProbe
from monitoring.tables import watch

pytestmark = pytest.mark.servers

QUICK = {"heartbeat_check_s": 0.1, "heartbeat_after_s": 300, "flap_quiet_s": 0}
MACHINES = ("washer-1", "washer-2")

Alarm = Callable[[bool], Awaitable[None]]


@pytest_asyncio.fixture
async def own_broker(
    pytestconfig: pytest.Config, tmp_path: Any, broker_plan: Plan
) -> AsyncIterator[tuple[Messaging, Alarm]]:
    """A broker of the test's own, and what raises and ends its alarm."""
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("an alarm is raised from inside the broker's own root file system")
    server = choice.broker(Kind.NATIVE, tmp_path / "rabbitmq", Quiet())
    assert isinstance(server, RabbitMQ)
    address = await asyncio.to_thread(server.start)

    async def alarm(raised: bool) -> None:
        limit = "{absolute, 1000000}" if raised else "0.6"
        await asyncio.to_thread(
            rabbitmqctl.evaluate,
            server.root,
            server.folder,
            f"vm_memory_monitor:set_vm_memory_high_watermark({limit}).",
            node=1,
            epmd_port=server.epmd_port,
        )

    try:
        vhosts.create(address, "alarm")
        apply_plan(address, "alarm", broker_plan)
        url = address.amqp_url_for(address.username, address.password, "alarm")
        yield Messaging(url, "alarm", address), alarm
    finally:
        await asyncio.to_thread(server.stop)


async def test_an_alarm_of_the_broker_makes_no_machine_silent(
    world: Any, own_broker: tuple[Messaging, Alarm], broker_plan: Plan, a_sample: Any
) -> None:
    messaging, alarm = own_broker
    async with (
        messaging.user("monitoring", broker_plan) as url,
        world.replica(url, **QUICK) as service,
    ):
        await service.post(*(a_sample(machine) for machine in (*MACHINES, "washer-3")))
        await world.execute(sa.text("UPDATE equipment SET heard_via = 'mqtt' WHERE id <> 'washer-3'"))
        await eventually(lambda: _listens(world), what="listening by both ways")
        await alarm(True)
        await eventually(lambda: _is_deaf(world), what="a check that knows of the alarm")
        hour_ago = sa.func.now() - timedelta(hours=1)
        await world.execute(sa.update(watch).values(hearing_since=hour_ago))
        for machine in (*MACHINES, "washer-3"):
            await world.heard_ago(machine, 3600)
        await eventually(lambda: world.faults("washer-3"), what="the silence of one that speaks by HTTP")
        assert [await world.faults(machine) for machine in MACHINES] == [[], []]

        await alarm(False)
        await eventually(lambda: _listens(world), what="listening again")
        await world.execute(sa.update(watch).values(hearing_since=hour_ago))
        for machine in MACHINES:
            await eventually(partial(world.faults, machine), what=f"the silence of {machine}")
        assert await messaging.count("telemetry.reported") == 0


async def _listens(world: Any) -> bool:
    return await _looked_within(world, "mqtt", 3) and await _looked_within(world, "http", 3)


async def _is_deaf(world: Any) -> bool:
    return await _looked_within(world, "http", 3) and not await _looked_within(world, "mqtt", 3)


async def _looked_within(world: Any, via: str, seconds: float) -> bool:
    recent = sa.select(watch.c.via).where(
        watch.c.via == via, watch.c.looked_at > sa.func.now() - timedelta(seconds=seconds)
    )
    async with world.engine.connect() as connection:
        return (await connection.execute(recent)).first() is not None


async def test_a_probe_leaves_nothing_and_finds_its_way_back(
    messaging: Messaging, broker_plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_probe, "ANSWER_S", 60)
    monkeypatch.setattr(broker_probe, "CONNECT_S", 60)
    async with messaging.user("monitoring", broker_plan) as url:
        probe = BrokerProbe(url, service="monitoring")
        try:
            assert await probe.takes_messages()
            assert probe._connection is not None
            await probe._connection.close()
            assert not await probe.takes_messages()
            assert await probe.takes_messages()
        finally:
            await probe.stop()
    for queue in broker_plan.queue("telemetry.reported").retries:
        assert await messaging.count(queue[0]) == 0


async def test_a_broker_that_is_away_takes_nothing() -> None:
    probe = BrokerProbe("amqp://nobody:nothing@127.0.0.1:9/none", service="monitoring")
    assert not await probe.takes_messages()
    await probe.stop()
