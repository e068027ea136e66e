"""People acknowledge a fault once; what nobody acknowledges is passed on, and once each time."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_events import Outbox
from laundry_service.audit.acts import Actor
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from monitoring.fault_handling import EscalationPolicy, handling_of
from monitoring.service.fault_handling import FaultClosed, FaultHandling
from monitoring.tables import fault

pytestmark = pytest.mark.servers

KIM = Actor("kim", "owner")


def test_only_the_equipment_closes_a_fault() -> None:
    now = datetime.now(UTC)
    for acknowledged_at in (None, now):
        for escalation in (0, 2):
            closed = handling_of(cleared_at=now, acknowledged_at=acknowledged_at, escalation=escalation)
            assert closed == "closed"
    assert handling_of(cleared_at=None, acknowledged_at=now, escalation=2) == "acknowledged"
    assert handling_of(cleared_at=None, acknowledged_at=None, escalation=2) == "escalated"
    assert handling_of(cleared_at=None, acknowledged_at=None, escalation=0) == "open"


async def the_fault(world: Any, equipment_id: str = "washer-1") -> Any:
    [found] = await world.faults(equipment_id)
    return found


async def make_due(world: Any, *, ago_s: float = 1) -> None:
    """Let every fault that waits to be passed on be due."""
    at = sa.func.now() - timedelta(seconds=ago_s)
    await world.execute(sa.update(fault).where(fault.c.escalate_at.is_not(None)).values(escalate_at=at))


def acknowledge(service: Any, fault_id: str, token: str) -> Any:
    return service.client.post(f"/faults/{fault_id}/acknowledgement", headers=service.world.bearer(token))


async def test_who_acknowledges_first_is_shown_to_all_and_audited(
    world: Any, service: Any, a_sample: Any
) -> None:
    await service.post(a_sample(fault_code="E1"))
    fault_id = (await the_fault(world)).id
    kim, lee = (world.token("owner", "b1", sub=name) for name in ("kim", "lee"))

    told: asyncio.Queue[Any] = asyncio.Queue()

    async def listen() -> None:
        bearer = world.bearer(lee)
        async with service.client.stream("GET", "/equipment/stream", headers=bearer, timeout=20) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    told.put_nowait(json.loads(line.removeprefix("data: ")))

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(told.get(), 20) == {}
    answer = await acknowledge(service, fault_id, kim)
    assert (answer.status_code, answer.json()["handling"]) == (200, "acknowledged")
    assert answer.json()["equipment_id"] == "washer-1"
    [shown] = (await asyncio.wait_for(told.get(), 20))["open_faults"]
    assert (shown["handling"], shown["acknowledged_by"]) == ("acknowledged", "kim")

    again = (await acknowledge(service, fault_id, lee)).json()
    assert again == answer.json()
    [_, event] = await world.events()
    assert (event["fault_id"], event["acknowledged_by"]) == (fault_id, "kim")
    [act] = (await service.get("/equipment/audit")).json()["items"]
    assert (act["by"], act["role"], act["action"]) == ("kim", "owner", "fault.acknowledge")
    assert (act["object"], act["equipment"], act["branch"]) == (fault_id, "washer-1", "b1")

    await service.post(a_sample(at=1))
    over = await acknowledge(service, fault_id, lee)
    assert (over.status_code, over.json()["code"]) == (409, "fault-closed")
    closed = (await service.get(f"/faults/{fault_id}", token=lee)).json()
    assert (closed["handling"], closed["acknowledged_by"]) == ("closed", "kim")
    service.app.state.stopping.set()
    await asyncio.wait_for(listening, 20)


async def test_only_those_of_the_branch_may(world: Any, service: Any, a_sample: Any) -> None:
    await service.post(a_sample(fault_code="E1"))
    fault_id = (await the_fault(world)).id
    for token, fault_named, status, code in (
        (world.token("owner", "b2"), fault_id, 404, "fault-unknown"),
        (world.token("owner", "b1"), "none", 404, "fault-unknown"),
        (world.token("helper", "b1"), fault_id, 403, "role-forbidden"),
        (world.token("customer"), fault_id, 403, "role-forbidden"),
        (world.token("device", "b1"), fault_id, 403, "role-forbidden"),
    ):
        answer = await acknowledge(service, fault_named, token)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await the_fault(world)).acknowledged_at is None
    assert (await acknowledge(service, fault_id, world.operator)).status_code == 200


async def test_lists_tell_how_far_people_have_come(world: Any, service: Any, a_sample: Any) -> None:
    names = ("washer-open", "washer-passed", "washer-taken", "washer-well")
    for name in names:
        await service.post(a_sample(name, fault_code="E1"))
    await service.post(a_sample("dryer-1", branch_id="b2", fault_code="E1"))
    passed = (await the_fault(world, "washer-passed")).id
    await world.execute(sa.update(fault).where(fault.c.id == passed).values(escalation=1))
    kim = world.token("owner", "b1", sub="kim")
    await acknowledge(service, (await the_fault(world, "washer-taken")).id, kim)
    await service.post(a_sample("washer-well", at=1))

    async def listed(**query: Any) -> list[str]:
        items = (await service.get("/faults", token=kim, **query)).json()["items"]
        return [item["equipment_id"] for item in items]

    assert await listed() == ["washer-taken", "washer-passed", "washer-open"]
    assert await listed(handling="escalated") == ["washer-passed"]
    assert await listed(handling=["closed", "acknowledged"]) == ["washer-well", "washer-taken"]
    page = (await service.get("/faults", token=kim, limit=2)).json()
    assert await listed(limit=2, cursor=page["next_cursor"]) == ["washer-open"]
    everywhere = (await service.get("/faults")).json()["items"]
    assert [(item["branch_id"], item["kind"]) for item in everywhere][:1] == [("b2", "washer")]
    assert (await service.get("/faults", token=kim, branch_id="b2")).status_code == 403
    for odd in ("x", "WyJ4Il0"):
        assert (await service.get("/faults", cursor=odd)).json()["code"] == "cursor-invalid"


async def test_what_was_told_together_is_acknowledged_together(
    world: Any, service: Any, a_sample: Any
) -> None:
    codes = [a_sample(at=number / 100, fault_code=f"E{number}") for number in range(5)]
    await service.post(*codes)
    told = [row for row in await world.faults("washer-1") if row.rung_at is not None]
    assert len(told) == 1, "five codes at once are one alert"
    await service.post(a_sample(at=1, fault_code="E9"))
    await acknowledge(service, told[0].id, world.token("owner", "b1", sub="kim"))
    by_code = {row.fault_code: row.acknowledged_by for row in await world.faults("washer-1")}
    assert by_code == {**{f"E{number}": "kim" for number in range(5)}, "E9": None}


class TestPassingOn:
    """By the use case itself, so that a test says when it looks."""

    @pytest.fixture
    async def database(self, world: Any) -> Any:
        database = Database(world.database_url, pool=8)
        yield database
        await database.close()

    @pytest.fixture
    def handling(self, database: Database) -> FaultHandling:
        return FaultHandling(database, Outbox("monitoring"), EscalationPolicy(timedelta(minutes=10), 3))

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        """The replica's own clockwork looks for nothing meanwhile."""
        return {"escalation_check_s": 3600}

    async def test_it_is_passed_on_after_ten_minutes_and_again_until_the_last_time(
        self, world: Any, a_sample: Any, handling: FaultHandling, settings: dict[str, Any]
    ) -> None:
        async with world.replica(**settings) as service:
            await service.post(a_sample(fault_code="E1"))
        found = await the_fault(world)
        assert found.escalate_at - found.rung_at == pytest.approx(
            timedelta(minutes=10), abs=timedelta(seconds=5)
        )
        assert await handling.escalate_due() == 0
        for escalation in (1, 2, 3):
            await make_due(world)
            assert await handling.escalate_due() == 1
            event = (await world.events())[-1]
            assert (event["escalation"], event["fault_id"]) == (escalation, found.id)
            assert event["kind"] == "washer"
            # The whole time again: a service that was away passes nothing on twice at once.
            assert await handling.escalate_due() == 0
        assert (await the_fault(world)).escalate_at is None
        await make_due(world)
        assert await handling.escalate_due() == 0

    async def test_two_replicas_pass_on_once(
        self, world: Any, a_sample: Any, handling: FaultHandling, database: Database, settings: dict[str, Any]
    ) -> None:
        async with world.replica(**settings) as service:
            for number in range(10):
                await service.post(a_sample(f"washer-{number}", fault_code="E1"))
        other = FaultHandling(database, Outbox("monitoring"), EscalationPolicy(timedelta(minutes=10), 3))
        await make_due(world)
        done = await asyncio.gather(*(each.escalate_due() for each in (handling, other, handling, other)))
        assert sum(done) == 10
        passed = [event["fault_id"] for event in await world.events() if event.get("escalation")]
        assert len(passed) == len(set(passed)) == 10

    async def test_nothing_is_passed_on_that_somebody_took_or_that_is_over_or_held(
        self, world: Any, a_sample: Any, handling: FaultHandling, settings: dict[str, Any]
    ) -> None:
        async with world.replica(**settings, ring_check_s=3600) as service:
            await service.post(a_sample("taken", fault_code="E1"))
            await service.post(a_sample("over", fault_code="E1"))
            await service.post(a_sample("over", at=1))
            # One that came late is held: nobody was told of it yet.
            await service.post(a_sample("held"))
            await service.post(a_sample("held", at=-60, fault_code="E1"))
            await acknowledge(service, (await the_fault(world, "taken")).id, world.operator)
        assert (await the_fault(world, "held")).escalate_at is None
        await make_due(world)
        assert await handling.escalate_due() == 0

    async def test_a_clock_that_was_set_back_delays_nothing_for_long(
        self, world: Any, a_sample: Any, handling: FaultHandling, settings: dict[str, Any]
    ) -> None:
        async with world.replica(**settings) as service:
            await service.post(a_sample(fault_code="E1"))
        await make_due(world, ago_s=-3600)
        assert await handling.escalate_due() == 1

    async def test_acknowledged_and_passed_on_at_one_moment_it_is_never_passed_on_after(
        self, world: Any, a_sample: Any, handling: FaultHandling, settings: dict[str, Any]
    ) -> None:
        names = [f"washer-{number}" for number in range(24)]
        async with world.replica(**settings) as service:
            for name in names:
                await service.post(a_sample(name, fault_code="E1"))
        ids = [(await the_fault(world, name)).id for name in names]
        await make_due(world)
        acts: list[Any] = [handling.acknowledge(each, by=KIM) for each in ids]
        # In between, so that some come before and some after.
        acts[6:6] = [handling.escalate_due()]
        acts[18:18] = [handling.escalate_due()]
        await asyncio.gather(*acts)
        events: dict[str, list[str]] = {each: [] for each in ids}
        for event in await world.events():
            kind = "acknowledged" if "acknowledged_by" in event else f"told {event['escalation']}"
            events[event["fault_id"]].append(kind)
        for told in events.values():
            assert told in (["told 0", "acknowledged"], ["told 0", "told 1", "acknowledged"])
        await make_due(world)
        assert await handling.escalate_due() == 0

    async def test_acknowledged_and_over_at_one_moment_it_is_over(
        self, world: Any, a_sample: Any, handling: FaultHandling, settings: dict[str, Any]
    ) -> None:
        names = [f"washer-{number}" for number in range(12)]
        async with world.replica(**settings) as service:
            for name in names:
                await service.post(a_sample(name, fault_code="E1"))
            ids = [(await the_fault(world, name)).id for name in names]
            results = await asyncio.gather(
                *(handling.acknowledge(each, by=KIM) for each in ids),
                service.post(*(a_sample(name, at=1) for name in names)),
                return_exceptions=True,
            )
            assert results[-1].json()["accepted"] == len(names)  # type: ignore[union-attr]
        for result in results[:-1]:
            assert not isinstance(result, BaseException) or isinstance(result, FaultClosed)
        for name in names:
            assert (await the_fault(world, name)).cleared_by == "code-gone"


async def test_a_due_time_outlives_the_process(world: Any, a_sample: Any) -> None:
    async with world.replica() as service:
        await service.post(a_sample(fault_code="E1"))
    await make_due(world)
    async with world.replica(escalation_check_s=0.2):
        await eventually(lambda: _passed_on(world), what="the fault to be passed on")
    [act] = await _acts(world)
    assert (act["by"], act["via"], act["action"]) == ("monitoring", "clock", "fault.escalate")


async def _passed_on(world: Any) -> bool:
    return bool((await the_fault(world)).escalation == 1)


async def _acts(world: Any) -> list[dict[str, Any]]:
    async with world.engine.connect() as connection:
        rows = await connection.execute(sa.text("SELECT audit_shown(record) FROM audit ORDER BY number"))
        return [json.loads(record) for record in rows.scalars()]


async def test_a_sensor_that_flaps_rings_once(world: Any, service: Any, a_sample: Any) -> None:
    for number in range(30):
        code = "E1" if number % 2 == 0 else None
        await service.post(a_sample(at=number / 100, fault_code=code))
    [event] = await world.events()
    assert (event["fault_code"], event["escalation"]) == ("E1", 0)
    found = await world.faults("washer-1")
    assert len(found) == 15
    assert [row.escalate_at is not None for row in found] == [True] + [False] * 14
