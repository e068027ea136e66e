"""Customers who agreed hear of a branch once, of few a week, and never at a fault's cost."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as PoolTimeout

from laundry_events import new_id
from laundry_servers.daytime import zone_by_day
from laundry_testing.messaging import eventually
from notification.repository import deliveries as queries
from notification.tables import consents, deliveries, devices

from .conftest import World, a_fault, a_preference

pytestmark = pytest.mark.servers


async def test_a_customer_hears_of_a_preference_once_on_every_phone(world: World) -> None:
    phones = [await world.register("customer", sub="lee", language=language) for language in ("ko", "en")]
    other = await world.register("customer", sub="han")
    preference, event_id = a_preference("lee", "cho"), new_id()
    await asyncio.gather(*(world.publish(preference, event_id=event_id) for _ in range(3)))
    await world.publish(preference)

    (push,) = await world.phones.gets(phones[0])
    assert push["title"] == "(광고) 취향에 맞는 지점: 조용한 아침 사우나"
    assert push["body"] == "b1 (조용해요, 사우나) · Quiet sauna from six."
    assert push["data"]["kind"] == "branch_match"
    assert push["data"]["preference_id"] == preference.preference_id
    (push,) = await world.phones.gets(phones[1])
    assert push["title"].startswith("(Ad) A branch for you")
    (told,) = await world.settled("customer", sub="lee", state="sent")
    assert told["kind"] == "branch_match"
    (untold,) = await world.settled("customer", sub="cho", state="no_device")
    assert untold["title"] == told["title"]

    assert world.messaging is not None
    await eventually(lambda: _drained(world), what="an empty queue")
    assert [len(await world.phones.got(token)) for token in (*phones, other)] == [1, 1, 0]


async def test_what_is_told_again_from_the_history_is_found_and_pushed_to_nobody(world: World) -> None:
    phone = await world.register("customer", sub="lee")
    await world.publish(a_preference("lee"), replayed=True)
    (told,) = await world.settled("customer", sub="lee", state="suppressed")
    assert told["kind"] == "branch_match"
    await eventually(lambda: _drained(world), what="an empty queue")
    assert await world.phones.got(phone) == []


async def test_what_comes_itself_after_its_copy_from_the_history_is_pushed_once(world: World) -> None:
    phone = await world.register("customer", sub="lee")
    preference = a_preference("lee")
    id_ = await world.publish(preference, replayed=True)
    await world.settled("customer", sub="lee", state="suppressed")
    await world.publish(preference, event_id=id_)
    await world.settled("customer", sub="lee", state="sent")
    for replayed in (False, True):
        await world.publish(preference, event_id=id_, replayed=replayed)
    await eventually(lambda: _drained(world), what="an empty queue")
    assert len(await world.phones.got(phone)) == 1


async def _drained(world: World) -> bool:
    assert world.messaging is not None
    waiting = await world.messaging.count("preference.created")
    return waiting == 0 and await world.count(deliveries, deliveries.c.state == "pending") == 0


async def test_beyond_two_a_week_the_phone_stays_quiet(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await asyncio.gather(
        *(world.publish(a_preference("lee", title=f"Sauna {number}")) for number in range(8))
    )

    async def told() -> bool:
        items = await world.history("customer", sub="lee", limit=100)
        return len(items) == 8 and all(item["state"] in {"sent", "suppressed"} for item in items)

    await eventually(told, what="eight notifications")
    items = await world.history("customer", sub="lee", limit=100)
    assert [item["state"] for item in items].count("sent") == 2
    assert len(await world.phones.got(token)) == 2


async def test_a_branch_that_says_the_same_again_is_told_once(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.publish(a_preference("lee", title="Sauna at  six"))
    await world.phones.gets(token)
    await world.publish(a_preference("lee", title="sauna at six"))

    async def states() -> bool:
        return [item["state"] for item in await world.history("customer", sub="lee")] == [
            "suppressed",
            "sent",
        ]

    await eventually(states, what="the repetition in the list only")
    assert len(await world.phones.got(token)) == 1


async def test_a_dead_phone_of_a_customer_is_forgotten(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.phones.uninstall(token)
    await world.publish(a_preference("lee"))
    await world.settled("customer", sub="lee", state="no_device")
    assert await world.count(devices) == 0


async def test_an_outage_of_fcm_is_waited_out(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.phones.control(status=503, times=1)
    await world.publish(a_preference("lee"))
    await world.phones.gets(token)
    await world.settled("customer", sub="lee", state="sent")


class TestFlood:
    @pytest.fixture
    def tuned(self) -> dict[str, Any]:
        return {"match_pushes_per_second": 20, "match_pushes_per_week": 100, "match_pushes_per_day": 100}

    async def test_a_fault_overtakes_a_flood_of_recommendations(self, world: World) -> None:
        customers = [f"customer-{number}" for number in range(200)]
        async with world.database.transaction() as session:
            await session.execute(
                sa.insert(devices),
                [
                    {
                        "token": f"flood-{customer}-{new_id()}",
                        "user_id": customer,
                        "role": "customer",
                        "platform": "android",
                        "language": "ko",
                        "branches": [],
                    }
                    for customer in customers
                ],
            )
            await session.execute(
                sa.insert(consents),
                [
                    {
                        "customer_id": customer,
                        "given": True,
                        "per_week": 100,
                        "time_zone": zone_by_day(),
                        "stop_key": customer,
                    }
                    for customer in customers
                ],
            )
        owner = await world.register("owner", "b1", sub="kim")
        await asyncio.gather(
            *(world.publish(a_preference(*customers, title=f"Sauna {number}")) for number in range(20))
        )
        await eventually(
            lambda: world.count(deliveries, deliveries.c.state == "sent"), what="the first recommendation"
        )
        await world.publish(a_fault())
        await world.phones.gets(owner)
        assert await world.count(deliveries, deliveries.c.state == "pending") > 0


@pytest.mark.parametrize("error", [PoolTimeout("no connection of the pool came free"), RuntimeError("a bug")])
async def test_the_sender_goes_on_after_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    token = await world.register("customer", sub="lee")
    lease, failures = queries.lease_match_deliveries, [error]

    async def failing_once(*arguments: Any, **keywords: Any) -> Any:
        if failures:
            raise failures.pop()
        return await lease(*arguments, **keywords)

    monkeypatch.setattr(queries, "lease_match_deliveries", failing_once)
    await world.publish(a_preference("lee"))
    await world.phones.gets(token)
    assert not failures
