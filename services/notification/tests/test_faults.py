"""A fault reaches the owners' phones: once, quickly, whatever FCM does."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_events import new_id
from laundry_events.circuit_breaker import PAUSED
from laundry_testing.messaging import eventually
from notification.fcm import PUSHES
from notification.tables import deliveries, devices, notifications

from .conftest import World, a_fault, a_preference

pytestmark = pytest.mark.servers


async def test_the_owner_of_the_branch_gets_the_push_in_the_language_of_each_phone(world: World) -> None:
    korean = await world.register("owner", "b1", sub="kim")
    english = await world.register("owner", "b1", "b2", sub="kim", language="en-GB, ko;q=0.5")
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

    await eventually(lambda: _says(world, token, 2), what="an alert of both")
    await eventually(lambda: _empty(world), what="an empty queue")
    assert await _says(world, token, 2)
    assert len(await world.history("owner", "b1", sub="kim")) == 2


async def test_a_burst_is_few_pushes_that_count_and_each_fault_stands_in_the_history(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    faults = [a_fault(equipment_id=f"washer-{number}") for number in range(40)]
    await asyncio.gather(*(world.publish(fault) for fault in faults))

    await eventually(lambda: _says(world, token, 40), what="an alert that counts all")
    pushes = await world.phones.got(token)
    assert len(pushes) <= 6
    assert pushes[-1]["title"] == "세탁기 40대 고장"
    named = {name for push in pushes for name in push["data"]["equipment_ids"].split(",")}
    assert named == {fault.equipment_id for fault in faults}
    assert len({push["data"]["tag"] for push in pushes}) == 1

    await world.settled("owner", "b1", sub="kim", state="sent")
    told = await world.history("owner", "b1", sub="kim", limit=100)
    assert sorted(item["data"]["fault_id"] for item in told) == sorted(fault.fault_id for fault in faults)


async def test_another_branch_has_an_alert_of_its_own(world: World) -> None:
    token = await world.register("owner", "b1", "b2", sub="kim")
    await world.publish(a_fault(branch_id="b1"))
    await world.phones.gets(token)
    for branch in ("b1", "b2"):
        await world.publish(a_fault(branch_id=branch))
    pushes = await world.phones.gets(token, 3)
    told = {(push["data"]["branch_id"], push["data"]["tag"]): push["data"]["faults"] for push in pushes}
    assert {branch: faults for (branch, _), faults in told.items()} == {"b1": "2", "b2": "1"}
    assert len(told) == 2


async def _says(world: World, token: str, faults: int) -> bool:
    """Whether the alert that a phone shows counts so many."""
    pushes = await world.phones.got(token)
    return bool(pushes) and pushes[-1]["data"]["faults"] == str(faults)


async def _empty(world: World) -> bool:
    assert world.messaging is not None
    return await world.messaging.count("equipment.fault") == 0


async def test_a_dead_token_is_deleted_and_the_other_phone_rings(world: World) -> None:
    gone = await world.register("owner", "b1", sub="kim")
    alive = await world.register("owner", "b1", sub="kim")
    only = await world.register("owner", "b2", sub="smith")
    await world.phones.uninstall(gone)
    await world.phones.uninstall(only)
    for branch in ("b1", "b2"):
        await world.publish(a_fault(branch_id=branch))

    await world.phones.gets(alive)
    await world.settled("owner", "b1", sub="kim", state="sent")
    await world.settled("owner", "b2", sub="smith", state="no_device")
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


async def test_only_the_phones_that_are_missing_are_tried_again(world: World) -> None:
    tokens = [await world.register("owner", "b1", sub="kim") for _ in range(2)]
    await world.phones.control(status=503, times=1)
    await world.publish(a_fault())
    for token in tokens:
        await world.phones.gets(token)
    await world.settled("owner", "b1", sub="kim", state="sent")
    assert [len(await world.phones.got(token)) for token in tokens] == [1, 1]


async def test_a_phone_that_fcm_does_not_take_waits_and_rings_by_itself(world: World) -> None:
    assert world.messaging is not None
    token = await world.register("owner", "b1", sub="kim")
    await world.phones.control(status=503)
    for number in range(3):
        await world.publish(a_fault(equipment_id=f"washer-{number}"))
    tried = PUSHES.labels("later")._value.get()
    await eventually(lambda: PUSHES.labels("later")._value.get() >= tried + 3, what="several tries")
    assert PAUSED.labels("fcm")._value.get() == 0, "one owner's phone is no outage"
    await eventually(lambda: _empty(world), what="an empty queue")
    assert await world.messaging.count("equipment.fault.dlq") == 0
    await world.settled("owner", "b1", sub="kim", state="pending")

    await world.phones.control()
    (push,) = await world.phones.gets(token)
    assert push["data"]["faults"] == "3"
    await world.settled("owner", "b1", sub="kim", state="sent")


async def test_while_fcm_is_away_faults_wait_and_ring_when_it_is_back(world: World) -> None:
    assert world.messaging is not None
    owners = [("kim", "b1"), ("lee", "b2"), ("han", "b3"), ("cho", "b4")]
    tokens = [await world.register("owner", branch, sub=sub) for sub, branch in owners]
    await world.phones.control(status=503)
    for _, branch in owners:
        await world.publish(a_fault(branch_id=branch))
    await eventually(lambda: PAUSED.labels("fcm")._value.get() == 1, what="the pause")
    tried = PUSHES.labels("later")._value.get()
    await eventually(
        lambda: PUSHES.labels("later")._value.get() >= tried + 3, within_s=60, what="several trials"
    )
    assert await world.messaging.count("equipment.fault.dlq") == 0
    await world.phones.control()
    for token in tokens:
        assert len(await world.phones.gets(token)) == 1
    for sub, branch in owners:
        await world.settled("owner", branch, sub=sub, state="sent")
    assert PAUSED.labels("fcm")._value.get() == 0


async def test_a_message_that_comes_again_rings_only_the_phones_that_it_did_not_reach(world: World) -> None:
    reached = await world.register("owner", "b1", sub="kim")
    missed = await world.register("owner", "b1", sub="kim")
    fault, event_id = a_fault(), new_id()
    await world.publish(fault, event_id=event_id)
    for token in (reached, missed):
        await world.phones.gets(token)
    await world.settled("owner", "b1", sub="kim", state="sent")
    # As a release left it that gave up after four attempts.
    async with world.database.transaction() as session:
        await session.execute(
            sa.update(deliveries).where(deliveries.c.token == missed).values(state="failed")
        )
        await session.execute(
            sa.update(notifications).where(notifications.c.user_id == "kim").values(state="failed")
        )
    await world.publish(fault, event_id=event_id)
    await world.phones.gets(missed, 2)
    await world.settled("owner", "b1", sub="kim", state="sent")
    assert len(await world.phones.got(reached)) == 1


async def test_what_waits_for_a_phone_that_goes_is_settled(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    await world.phones.control(status=503)
    await world.publish(a_fault())
    await world.settled("owner", "b1", sub="kim", state="pending")
    headers = world.identity.bearer("owner", "b1", sub="kim")
    await world.http.delete("/devices", params={"token": token}, headers=headers)
    await world.settled("owner", "b1", sub="kim", state="no_device")


async def test_a_refused_push_is_failed_and_nobody_waits_for_it(world: World) -> None:
    await world.register("owner", "b1", sub="kim", token="refused-phone")
    other = await world.register("owner", "b1", sub="smith")
    await world.phones.control(status=400, token_prefix="refused-")
    await world.publish(a_fault())
    await world.phones.gets(other)
    await world.settled("owner", "b1", sub="kim", state="failed")


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


async def test_what_is_told_again_from_the_history_rings_on_no_phone(world: World) -> None:
    token = await world.register("owner", "b1", sub="kim")
    old, new = a_fault(equipment_id="washer-4", escalation=1), a_fault()
    await world.publish(old, replayed=True)
    await world.publish(new)
    (push,) = await world.phones.gets(token)
    assert push["data"]["equipment_ids"] == "washer-3"

    async def told() -> bool:
        items = await world.history("owner", "b1", sub="kim")
        states = {item["data"]["fault_id"]: item["state"] for item in items}
        return states == {old.fault_id: "suppressed", new.fault_id: "sent"}

    await eventually(told, what="one that rang and one that did not")
    # Nor does it ring when it had been told before.
    await world.publish(new, event_id=push["data"]["event_id"], replayed=True)
    await eventually(lambda: _empty(world), what="an empty queue")
    assert len(await world.phones.got(token)) == 1
