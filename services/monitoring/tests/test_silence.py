"""Heartbeats, restarts and several replicas on one database."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_testing.messaging import eventually
from monitoring.tables import fault, sample, watch

pytestmark = pytest.mark.servers

QUICK = {"heartbeat_check_s": 0.1, "heartbeat_after_s": 300, "flap_quiet_s": 0}


async def has_listened(world: Any, seconds: float) -> None:
    """Let the service have heard for as long already."""
    since = sa.func.now() - timedelta(seconds=seconds)
    await eventually(lambda: _has_looked(world), what="the first a_sample for silence")
    await world.execute(sa.update(watch).values(hearing_since=since))


async def _has_looked(world: Any) -> bool:
    async with world.engine.connect() as connection:
        return (await connection.execute(sa.select(watch).where(watch.c.via == "http"))).first() is not None


async def causes(world: Any) -> list[str]:
    return [event["cause"] for event in await world.events()]


async def test_silence_is_one_fault_until_a_sample_comes(world: Any, a_sample: Any) -> None:
    async with world.replica(**QUICK) as first, world.replica(**QUICK):
        await first.post(a_sample(), a_sample("washer-2"))
        await has_listened(world, 3600)
        await world.heard_ago("washer-1", 301)
        await eventually(world.events, what="the heartbeat fault")
        shown = (await first.get("/equipment/washer-1")).json()
        assert [found["cause"] for found in shown["open_faults"]] == ["heartbeat"]
        # Several more looks by both replicas add nothing.
        looked = await _looked_at(world)
        await eventually(lambda: _looked_later(world, looked, 1.0), what="more looks")
        assert await causes(world) == ["heartbeat"]

        await first.post(a_sample(at=1))
        assert (await first.get("/equipment/washer-1")).json()["state"] == "ok"
        await world.heard_ago("washer-1", 301)
        await eventually(lambda: _count(world, 2), what="the second silence")


async def _looked_at(world: Any) -> Any:
    async with world.engine.connect() as connection:
        return (await connection.execute(sa.select(sa.func.min(watch.c.looked_at)))).scalar_one()


async def _looked_later(world: Any, than: Any, seconds: float) -> bool:
    return bool(await _looked_at(world) > than + timedelta(seconds=seconds))


async def _count(world: Any, number: int) -> bool:
    return len(await world.events()) == number


async def test_nobody_is_silent_because_the_service_was_away(world: Any, a_sample: Any) -> None:
    async with world.replica(**QUICK) as service:
        await service.post(a_sample())
        await has_listened(world, 7200)
    hour_ago = sa.func.now() - timedelta(hours=1)
    await world.execute(sa.update(watch).values(looked_at=hour_ago))
    await world.heard_ago("washer-1", 3600)
    async with world.replica(**QUICK):
        before = await _looked_at(world)
        await eventually(lambda: _looked_later(world, before, 1.0), what="looks after the outage")
        assert await world.events() == []
        await has_listened(world, 301)
        await eventually(world.events, what="a silence that was really heard")


async def test_equipment_that_speaks_by_mqtt_is_not_silent_while_the_broker_is_away(
    world: Any, a_sample: Any
) -> None:
    async with world.replica(**QUICK) as service:
        await service.post(a_sample(), a_sample("washer-2"))
        await world.execute(sa.text("UPDATE equipment SET heard_via = 'mqtt' WHERE id = 'washer-1'"))
        await has_listened(world, 3600)
        await world.heard_ago("washer-1", 3600)
        await world.heard_ago("washer-2", 3600)
        await eventually(world.events, what="the fault of the one that speaks by HTTP")
        assert [event["equipment_id"] for event in await world.events()] == ["washer-2"]


async def test_a_fault_and_a_broken_limit_are_remembered_over_a_restart(world: Any, a_sample: Any) -> None:
    hot = {"temperature_celsius": 99}
    async with world.replica() as before:
        await before.post(a_sample(at=-60, fault_code="E21", metrics=hot))
    async with world.replica() as after:
        assert (await after.get("/equipment/washer-1")).json()["state"] == "faulty"
        await after.post(a_sample(at=-20, fault_code="E21", metrics=hot))
        assert await causes(world) == ["fault_code", "limit"]
        await after.post(a_sample(at=-10))
        assert (await after.get("/equipment/washer-1")).json()["state"] == "ok"


async def test_replicas_that_take_the_same_samples_make_one_fault(world: Any, a_sample: Any) -> None:
    async with world.replica() as first, world.replica() as second:
        replicas = [first, second]
        for at in range(5):
            burst = [
                [a_sample(f"washer-{n}", at=at + wave / 10, fault_code=f"E{at}") for n in order]
                for wave in range(3)
                for order in (range(8), reversed(range(8)))
            ]
            posts = [replicas[n % 2].post(*samples) for n, samples in enumerate(burst)]
            answers = await asyncio.gather(*posts)
            assert {answer.status_code for answer in answers} == {202}
            told = [answer.json() for answer in answers]
            assert sum(t["accepted"] + t["ignored"] for t in told) == 24
            assert sum(t["duplicate"] for t in told) == 24
        events = await world.events()
        assert len(events) == 5 * 8
        assert len({(event["equipment_id"], event["fault_code"]) for event in events}) == 5 * 8


async def test_old_samples_and_faults_are_pruned_and_open_faults_stay(world: Any, a_sample: Any) -> None:
    async with world.replica(prune_every_s=0.1) as service:
        await service.post(
            a_sample(at=-3, fault_code="E1"), a_sample(at=-2), a_sample(at=-1, fault_code="E2")
        )
        old = sa.func.now() - timedelta(days=400)
        await world.execute(sa.update(sample).values(received_at=old))
        await world.execute(sa.update(fault).where(fault.c.cleared_at.is_not(None)).values(cleared_at=old))
        await eventually(lambda: _pruned(world), what="the pruning")
        [left] = await world.faults("washer-1")
        assert left.fault_code == "E2"


async def _pruned(world: Any) -> bool:
    return await world.samples("washer-1") == 0 and len(await world.faults("washer-1")) == 1
