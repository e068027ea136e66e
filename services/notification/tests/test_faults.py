"""A fault reaches the owners' phones: once, quickly, whatever FCM does."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laundry_events import new_id
from laundry_events.gate import PAUSED
from laundry_testing.messaging import eventually
from notification.fcm import PUSHES
from notification.tables import devices

from .conftest import World, a_fault, a_preference

pytestmark = pytest.mark.servers


async def test_every_owner_of_the_branch_gets_the_push_in_his_language(world: World) -> None:
    korean = await world.register("owner", "b1", sub="kim")
    english = await world.register("owner", "b1", "b2", sub="smith", language="en-GB, ko;q=0.5")
    elsewhere = await world.register("owner", "b2", sub="park")
    customer = await world.register("customer", sub="lee")
    event_id = await world.publish(a_fault())

    (push,) = await world.phones.gets(korean)
    assert push["title"] == "세탁기 washer-3 고장 (E21)"
    assert push["data"]["kind"] == "equipment_fault"
    assert (push["data"]["event_id"], push["data"]["branch_id"]) == (event_id, "b1")
    assert push["data"]["equipment_id"] == "washer-3"
    (push,) = await world.phones.gets(english)
    assert push["title"] == "Washer washer-3 failed (E21)"

    (told,) = await world.settled("owner", "b1", sub="kim", state="sent")
    assert (told["kind"], told["branch_id"], told["event_id"]) == ("equipment_fault", "b1", event_id)
    assert told["sent_at"] >= told["created_at"]
    assert await world.history("owner", "b2", sub="park") == []
    assert await world.phones.got(elsewhere) == await world.phones.got(customer) == []


async def test_a_fault_told_often_is_one_push(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    fault, event_id = a_fault(), new_id()
    await asyncio.gather(*(world.publish(fault, event_id=event_id) for _ in range(5)))
    await world.publish(fault)
    last = a_fault(equipment_id="washer-4")
    await world.publish(last)

    await world.phones.gets(token, 2)
    await eventually(lambda: _empty(world), what="an empty queue")
    pushes = await world.phones.got(token)
    assert [push["data"]["fault_id"] for push in pushes].count(fault.fault_id) == 1
    assert len(await world.history("owner", "b1", sub="kim")) == 2


async def test_more_faults_than_are_taken_at_once_are_one_push_each(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    # Each is in hand for a while, so that a whole window of them is in hand together.
    await world.phones.control(delay_seconds=0.5)
    faults = [a_fault(equipment_id=f"washer-{number}") for number in range(40)]
    await asyncio.gather(*(world.publish(fault) for fault in faults))

    await world.phones.gets(token, len(faults), within_s=60)
    await world.settled("owner", "b1", sub="kim", state="sent")
    await eventually(lambda: _empty(world), what="an empty queue")
    pushes = await world.phones.got(token)
    assert sorted(push["data"]["fault_id"] for push in pushes) == sorted(fault.fault_id for fault in faults)


async def _empty(world: World) -> bool:
    assert world.messaging is not None
    return await world.messaging.count("equipment.fault") == 0


async def test_a_dead_token_is_deleted_and_the_other_phone_rings(world: World) -> None:
    gone = await world.register("owner", "b1", sub="kim")
    alive = await world.register("owner", "b1", sub="kim")
    only = await world.register("owner", "b1", sub="smith")
    await world.phones.uninstall(gone)
    await world.phones.uninstall(only)
    await world.publish(a_fault())

    await world.phones.gets(alive)
    await world.settled("owner", "b1", sub="kim", state="sent")
    await world.settled("owner", "b1", sub="smith", state="no_device")
    assert await world.count(devices, devices.c.token.in_([gone, only])) == 0
    assert await world.count(devices, devices.c.token == alive) == 1


@pytest.mark.parametrize(
    "trouble",
    [{"status": 503, "times": 2}, {"status": 429, "times": 1, "retry_after_seconds": 1}],
    ids=["503", "429 with Retry-After"],
)
async def test_a_passing_trouble_of_fcm_is_retried(world: World, trouble: dict[str, Any]) -> None:
    token = await world.register("owner", "b1", sub="kim")
    await world.phones.control(**trouble)
    await world.publish(a_fault())
    assert len(await world.phones.gets(token)) == 1
    await world.settled("owner", "b1", sub="kim", state="sent")


class TestWithoutTimeToRetry:
    @pytest.fixture
    def tuned(self) -> dict[str, Any]:
        return {"fault_push_budget_s": 0.5}

    async def test_the_ladder_tries_only_the_phones_that_are_missing(self, world: World) -> None:
        tokens = [await world.register("owner", "b1", sub=sub) for sub in ("kim", "smith")]
        await world.phones.control(status=503, times=1)
        await world.publish(a_fault())
        for token in tokens:
            await world.phones.gets(token)
        for sub in ("kim", "smith"):
            await world.settled("owner", "b1", sub=sub, state="sent")
        assert [len(await world.phones.got(token)) for token in tokens] == [1, 1]

    async def test_a_long_outage_ends_in_the_dlq_and_a_redrive_pushes(self, world: World) -> None:
        assert world.messaging is not None
        token = await world.register("owner", "b1", sub="kim")
        await world.phones.control(status=503)
        await world.publish(a_fault())
        dead = await world.messaging.take("equipment.fault.dlq", within_s=30)
        assert dead.headers["x-dead-reason"] == "retries-exhausted"
        assert dead.headers["x-error-class"] == "PushesMissing"
        await world.settled("owner", "b1", sub="kim", state="failed")

        await world.phones.control()
        headers = {k: v for k, v in dead.headers.items() if not k.startswith("x-")}
        await world.messaging.publish_raw(
            "laundry.events", "equipment.fault", dead.body, headers=headers, message_id=dead.message_id
        )
        await world.phones.gets(token)
        await world.settled("owner", "b1", sub="kim", state="sent")

    async def test_while_fcm_is_away_faults_wait_and_ring_when_it_is_back(self, world: World) -> None:
        assert world.messaging is not None
        token = await world.register("owner", "b1", sub="kim")
        await world.phones.control(status=503)
        count = 6
        for number in range(count):
            await world.publish(a_fault(equipment_id=f"washer-{number}"))
        # One whom nobody must be told of succeeds without FCM, and says nothing of it.
        await world.publish(a_fault(branch_id="nobodys"))
        await eventually(lambda: PAUSED.labels("fcm")._value.get() == 1, what="the pause")
        tried = PUSHES.labels("later")._value.get()
        await eventually(
            lambda: PUSHES.labels("later")._value.get() >= tried + 3, within_s=60, what="several trials"
        )
        assert await world.messaging.count("equipment.fault.dlq") == 0
        await world.phones.control()
        pushes = await world.phones.gets(token, count, within_s=60)
        assert len({push["data"]["fault_id"] for push in pushes}) == count
        await world.settled("owner", "b1", sub="kim", state="sent")
        await eventually(lambda: PAUSED.labels("fcm")._value.get() == 0, what="the end of the pause")


async def test_a_fault_of_more_than_an_hour_ago_is_told_but_rings_no_more(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    await world.publish(a_fault(detected_at=datetime.now(UTC) - timedelta(minutes=61)))
    (told,) = await world.settled("owner", "b1", sub="kim", state="expired")
    assert told["sent_at"] is None
    recent = a_fault(detected_at=datetime.now(UTC) - timedelta(minutes=59))
    await world.publish(recent)
    (push,) = await world.phones.gets(token)
    assert push["data"]["fault_id"] == recent.fault_id


async def test_a_fault_without_a_known_owner_is_no_error(world: World) -> None:
    assert world.messaging is not None
    await world.publish(a_fault(branch_id="nobodys"))
    token = await world.register("owner", "b1", sub="kim")
    await world.publish(a_fault())
    await world.phones.gets(token)
    assert await world.messaging.count("equipment.fault.dlq") == 0


async def test_an_owner_without_a_phone_reads_of_the_fault(world: World) -> None:
    assert await world.history("owner", "b1", sub="kim") == []
    await world.publish(a_fault())
    (told,) = await world.settled("owner", "b1", sub="kim", state="no_device")
    assert told["sent_at"] is None


@pytest.mark.parametrize(
    ("queue", "event"),
    [("equipment.fault", "EquipmentFault"), ("preference.created", "PreferenceCreated")],
)
async def test_a_malformed_message_is_dead_at_once_and_the_next_is_handled(
    world: World, queue: str, event: str
) -> None:
    assert world.messaging is not None
    good = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": new_id(),
        "cloudEvents_source": "/tests",
        "cloudEvents_type": event,
        "cloudEvents_dataschema": f"urn:laundry:schema:{event}:1",
    }
    for body, headers, reason in (
        (b"{", good, "malformed"),
        (b'{"fault_id": 1, "preference_id": 1}', good, "malformed"),
        (b"{}", {}, "malformed"),
        (b"{}", {**good, "cloudEvents_dataschema": f"urn:laundry:schema:{event}:9"}, "unknown-event"),
        (b"{}", {**good, "cloudEvents_type": "LaundryEaten"}, "unknown-event"),
    ):
        await world.messaging.publish_raw("laundry.events", queue, body, headers=headers, message_id=new_id())
        dead = await world.messaging.take(f"{queue}.dlq")
        assert (dead.headers["x-dead-reason"], dead.headers["x-attempts"]) == (reason, 1)
        assert dead.headers["x-error-message"]
    token = await world.register("owner", "b1", sub="kim")
    customer = await world.register("customer", sub="lee")
    await world.publish(a_fault())
    await world.publish(a_preference("lee"))
    await world.phones.gets(token)
    await world.phones.gets(customer)
