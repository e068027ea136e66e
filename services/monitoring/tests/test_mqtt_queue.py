"""Samples that equipment published by MQTT, as they lie in the queue."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from laundry_events import PermanentError
from laundry_events.plan import REQUEUE_EXCHANGE
from laundry_events.topology import TELEMETRY_EXCHANGE
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from monitoring.device_limits import DeviceKey, DeviceLimits
from monitoring.service.device_logins import DeviceLogins
from monitoring.service.mqtt_intake import DeviceMessage, EquipmentBusy, MqttIntake
from monitoring.service.telemetry_intake import TelemetryIntake
from monitoring.tables import device_login, equipment, mqtt_login, sample

pytestmark = pytest.mark.servers

QUEUE = "telemetry.reported"


async def publish(messaging: Messaging, equipment_id: str, *samples: Any, **options: Any) -> None:
    body = json.dumps({"samples": samples}).encode()
    await messaging.publish_raw(TELEMETRY_EXCHANGE, f"telemetry.{equipment_id}", body, **options)


async def test_a_sample_by_mqtt_becomes_an_event_at_the_broker(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await publish(messaging, "washer-1", a_sample(fault_code="E21"))
        message = await messaging.take("equipment.fault")
        event = json.loads(message.body)
        assert (event["equipment_id"], event["fault_code"]) == ("washer-1", "E21")
        assert message.headers["cloudEvents_type"] == "EquipmentFault"

        # Delivered again, it is a duplicate: no second event, no dead letter.
        await publish(messaging, "washer-1", a_sample(fault_code="E21"))
        await publish(messaging, "washer-1", a_sample(at=1))
        await eventually(lambda: _state_is(service, "washer-1", "ok"), what="the fault's clearing")
        assert len(await world.faults("washer-1")) == 1
        assert await messaging.count("telemetry.reported.dlq") == 0


async def _state_is(service: Any, equipment_id: str, state: str) -> bool:
    answer: httpx.Response = await service.get(f"/equipment/{equipment_id}")
    return bool(answer.status_code == 200 and answer.json()["state"] == state)


async def test_what_cannot_be_taken_goes_to_the_dead_letters_with_its_reason(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await world.execute(sa.insert(mqtt_login).values(equipment_id="washer-9", branches=["b9"]))
        await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b"{not json")
        assert await _dead_reason(messaging) == "malformed-json"
        await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b'{"samples": [{}]}')
        assert await _dead_reason(messaging) == "invalid-request"
        await publish(messaging, "washer-1", a_sample("washer-2"))
        assert await _dead_reason(messaging) == "equipment-forbidden"
        # What is good of a message is taken, and the whole of it kept.
        await publish(messaging, "washer-1", a_sample(kind=""), a_sample(fault_code="E21"))
        assert await _dead_reason(messaging) == "invalid-request"
        await eventually(lambda: _state_is(service, "washer-1", "faulty"), what="the good sample beside it")
        # What is taken with a word is no dead letter.
        await publish(messaging, "washer-1", a_sample(at=3600))
        await publish(messaging, "washer-1", a_sample(at=1, metrics={"temperature_fahrenheit": 160}))
        await publish(messaging, "washer-9", a_sample("washer-9", branch_id="b1"))
        assert await _dead_reason(messaging) == "branch-forbidden"

        await publish(messaging, "washer-9", a_sample("washer-9", branch_id="b9"))
        await eventually(lambda: _state_is(service, "washer-9", "ok"), what="the good sample")
        assert await messaging.count("telemetry.reported.dlq") == 0


async def _dead_reason(messaging: Messaging) -> Any:
    message = await messaging.take("telemetry.reported.dlq")
    assert message.headers["x-original-queue"] == QUEUE
    return message.headers["x-dead-reason"]


async def test_a_device_cannot_speak_for_another_by_a_header(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    forged = {"x-original-routing-key": "telemetry.washer-2"}
    async with world.replica(messaging.amqp_url):
        await publish(messaging, "washer-1", a_sample("washer-2", fault_code="E1"), headers=forged)
        message = await messaging.take("telemetry.reported.dlq")
        assert message.headers["x-dead-reason"] == "equipment-forbidden"
        assert message.headers["x-original-routing-key"] == "telemetry.washer-1"


async def test_a_redriven_message_is_known_by_its_first_routing_key(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        body = json.dumps({"samples": [a_sample()]}).encode()
        headers = {"x-original-routing-key": "telemetry.washer-1"}
        await messaging.publish_raw(REQUEUE_EXCHANGE, QUEUE, body, headers=headers)
        await eventually(lambda: _state_is(service, "washer-1", "ok"), what="the sample")
        await messaging.publish_raw(REQUEUE_EXCHANGE, QUEUE, body)
        assert await _dead_reason(messaging) == "topic-unknown"


def _login(equipment_id: str, *branches: str, seconds: float = 600, client_id: str = "") -> Any:
    values = {
        "equipment_id": equipment_id,
        "client_id": client_id,
        "branches": list(branches),
        "expires_at": datetime.now(UTC) + timedelta(seconds=seconds),
    }
    return sa.insert(device_login).values(values)


async def test_what_comes_after_the_tokens_end_is_refused_and_what_came_before_is_not(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await world.execute(_login("washer-1", "b1", seconds=-10))
        await publish(messaging, "washer-1", a_sample(fault_code="E21"))
        assert await _dead_reason(messaging) == "token-expired"
        before = int((datetime.now(UTC) - timedelta(seconds=20)).timestamp() * 1000)
        await publish(
            messaging, "washer-1", a_sample(at=1, fault_code="E21"), headers={"timestamp_in_ms": before}
        )
        await eventually(lambda: _state_is(service, "washer-1", "faulty"), what="the earlier sample")
        # A device can add text to its messages, but no number.
        await publish(messaging, "washer-1", a_sample(at=2), headers={"timestamp_in_ms": str(before)})
        assert await _dead_reason(messaging) == "token-expired"


async def test_machines_of_one_name_speak_each_with_its_own_login(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        for branch in ("b1", "b2"):
            await world.execute(_login("washer-1", branch, client_id=f"washer-1/{branch}"))
        for branch in ("b1", "b2"):
            headers = {"x-opt-mqtt-client-id": f"washer-1/{branch}"}
            await publish(messaging, "washer-1", a_sample(branch_id=branch), headers=headers)
        await eventually(lambda: _listed(service, 2), what="the two machines")
        headers = {"x-opt-mqtt-client-id": "washer-1/b1"}
        await publish(messaging, "washer-1", a_sample(at=1, branch_id="b2"), headers=headers)
        assert await _dead_reason(messaging) == "branch-forbidden"


async def _listed(service: Any, number: int) -> bool:
    return len((await service.get("/equipment")).json()["items"]) == number


async def test_one_device_fills_neither_the_dead_letters_nor_the_database_and_its_fault_still_rings(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    settings = {"device_dead_letters_h": 3, "device_rate": 0.01, "device_burst": 50}
    async with world.replica(messaging.amqp_url, **settings) as service:
        for _ in range(40):
            await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b"{")
        for n in range(60):
            await publish(messaging, "washer-1", a_sample(at=n / 100 - 10))
        await publish(messaging, "washer-1", a_sample(fault_code="E21"))
        await eventually(lambda: _state_is(service, "washer-1", "faulty"), what="its fault")
        await publish(messaging, "washer-2", a_sample("washer-2"))
        await eventually(lambda: _state_is(service, "washer-2", "ok"), what="another device's sample")
        assert await messaging.count("telemetry.reported.dlq") == 3
        assert await world.samples("washer-1") <= 12


async def test_what_comes_together_is_stored_together_and_what_is_wrong_of_it_is_refused_alone(
    world: Any, messaging: Messaging, a_sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a group may take longer, and would be stored one by one.
    monkeypatch.setattr("laundry_events.batches.WITHIN_S", 60)
    machines, each = [f"washer-{number}" for number in range(10)], 12
    async with world.replica() as service:
        await service.post(*(a_sample(machine, at=-100) for machine in machines))
    await world.execute(_login("washer-1", "elsewhere"))
    # All of it waits when the service comes.
    for at in range(1, each + 1):
        for machine in machines:
            code = "E21" if (machine, at) == ("washer-2", each) else None
            await publish(messaging, machine, a_sample(machine, at=at - 90, fault_code=code))
    # Given twice within one group.
    await publish(messaging, "washer-3", a_sample("washer-3", at=each - 90))
    many = [a_sample("washer-4", at=each + at - 90) for at in range(1, 31)]
    await publish(messaging, "washer-4", *many)
    async with world.replica(messaging.amqp_url) as service:
        await eventually(lambda: _stored(world, "washer-4", 1 + each + len(many)), what="the last message")
        await eventually(lambda: _dead(messaging, each), what="what washer-1 may not say")
        assert await _dead_reason(messaging) == "branch-forbidden"
        for machine in machines:
            expected = {"washer-1": 1, "washer-4": 1 + each + len(many)}.get(machine, 1 + each)
            assert await world.samples(machine) == expected, machine
        assert await _state_is(service, "washer-2", "faulty")
    async with world.engine.connect() as connection:
        transactions = sa.select(sa.func.count(sa.distinct(sa.text("xmin::text")))).select_from(sample)
        assert (await connection.execute(transactions)).scalar_one() < each * len(machines) / 4


async def _dead(messaging: Messaging, number: int) -> bool:
    return await messaging.count("telemetry.reported.dlq") == number


async def _stored(world: Any, machine: str, number: int) -> bool:
    return bool(await world.samples(machine) == number)


async def test_a_row_that_is_held_holds_up_its_own_machine_alone(
    world: Any, messaging: Messaging, a_sample: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await service.post(a_sample("washer-1"), a_sample("washer-2"))
        async with world.engine.begin() as holder:
            await holder.execute(sa.select(equipment).where(equipment.c.id == "washer-1").with_for_update())
            await publish(messaging, "washer-1", a_sample(at=1, fault_code="E21"))
            told = await service.post(a_sample("washer-1", at=2), a_sample("washer-2", at=2, fault_code="E1"))
            assert told.status_code == 202
            assert (told.json()["accepted"], told.json()["refused"][0]["code"]) == (1, "busy")
            alone = await service.post(a_sample("washer-1", at=2))
            assert (alone.status_code, alone.json()["code"]) == (503, "busy")
            assert alone.headers["retry-after"]
            await publish(messaging, "washer-3", a_sample("washer-3", fault_code="E1"))
            await eventually(lambda: _state_is(service, "washer-3", "faulty"), what="another machine's fault")
        await eventually(lambda: _state_is(service, "washer-1", "faulty"), what="the fault, tried again")


async def test_a_flood_of_one_device_drops_no_sample_of_its_namesake_in_another_branch(
    world: Any, database: Database, a_sample: Any
) -> None:
    for branch in ("b1", "b2"):
        await world.execute(_login("washer-1", branch, client_id=f"washer-1/{branch}"))
    limits = DeviceLimits(rate=0.001, burst=1, dead_letters_h=1)
    intake = MqttIntake(
        TelemetryIntake(world.settings(), database), DeviceLogins(database, lambda _: True), limits
    )

    async def take(branch: str, *samples: Any) -> None:
        body = json.dumps({"samples": samples}).encode()
        await intake.take(DeviceMessage("washer-1", f"washer-1/{branch}", datetime.now(UTC), body))

    for at in range(3):
        await take("b1", a_sample(at=at, branch_id="b1"))
    with pytest.raises(PermanentError):
        await take("b1", a_sample(at=9, branch_id="b2", fault_code="E1"))
    await take("b2", a_sample(branch_id="b2"))
    # One of those, and the rest of the flood is dropped.
    assert await world.samples("washer-1") == 2
    with pytest.raises(PermanentError):
        await take("b2", a_sample("washer-2", fault_code="E1"))


async def test_a_code_above_the_rate_that_could_not_be_stored_is_a_fault_when_it_comes_again(
    world: Any, database: Database, a_sample: Any
) -> None:
    async with world.replica() as service:
        await service.post(a_sample("washer-1"))
    limits = DeviceLimits(rate=0.001, burst=1, dead_letters_h=10)
    intake = MqttIntake(
        TelemetryIntake(world.settings(), database), DeviceLogins(database, lambda _: True), limits
    )

    async def take(**sample: Any) -> None:
        body = json.dumps({"samples": [a_sample(**sample)]}).encode()
        await intake.take(DeviceMessage("washer-1", None, datetime.now(UTC), body))

    await take(at=1)
    assert limits.wait_s(DeviceKey("washer-1", None)) > 0
    async with world.engine.begin() as holder:
        await holder.execute(sa.select(equipment).where(equipment.c.id == "washer-1").with_for_update())
        with pytest.raises(EquipmentBusy):
            await take(at=2, fault_code="E21")
    await take(at=2, fault_code="E21")
    assert [found.fault_code for found in await world.faults("washer-1")] == ["E21"]
