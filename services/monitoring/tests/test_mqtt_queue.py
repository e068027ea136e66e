"""Samples that equipment published by MQTT, as they lie in the queue."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_events.topology import REQUEUE_EXCHANGE, TELEMETRY_EXCHANGE
from laundry_testing.messaging import Messaging, eventually
from monitoring.tables import mqtt_login

pytestmark = pytest.mark.servers

QUEUE = "telemetry.reported"


async def publish(messaging: Messaging, equipment_id: str, *samples: Any, **options: Any) -> None:
    body = json.dumps({"samples": samples}).encode()
    await messaging.publish_raw(TELEMETRY_EXCHANGE, f"telemetry.{equipment_id}", body, **options)


async def test_a_sample_by_mqtt_becomes_an_event_at_the_broker(
    world: Any, messaging: Messaging, look: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await publish(messaging, "washer-1", look(fault_code="E21"))
        message = await messaging.take("equipment.fault")
        event = json.loads(message.body)
        assert (event["equipment_id"], event["fault_code"]) == ("washer-1", "E21")
        assert message.headers["cloudEvents_type"] == "EquipmentFault"

        # Delivered again, it is a duplicate: no second event, no dead letter.
        await publish(messaging, "washer-1", look(fault_code="E21"))
        await publish(messaging, "washer-1", look(at=1))
        await eventually(lambda: _state_is(service, "washer-1", "ok"), what="the fault's clearing")
        assert len(await world.faults("washer-1")) == 1
        assert await messaging.count("telemetry.reported.dlq") == 0


async def _state_is(service: Any, equipment_id: str, state: str) -> bool:
    answer = await service.get(f"/equipment/{equipment_id}")
    return answer.status_code == 200 and answer.json()["state"] == state


async def test_what_cannot_be_taken_goes_to_the_dead_letters_with_its_reason(
    world: Any, messaging: Messaging, look: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        await world.execute(sa.insert(mqtt_login).values(equipment_id="washer-9", branches=["b9"]))
        await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b"{not json")
        assert await _dead_reason(messaging) == "malformed-json"
        await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b'{"samples": [{}]}')
        assert await _dead_reason(messaging) == "invalid-request"
        await publish(messaging, "washer-1", look("washer-2"))
        assert await _dead_reason(messaging) == "equipment-forbidden"
        await publish(messaging, "washer-1", look(at=3600))
        assert await _dead_reason(messaging) == "recorded-in-future"
        await publish(messaging, "washer-1", look(metrics={"temperature_fahrenheit": 160}))
        assert await _dead_reason(messaging) == "unknown-metric"
        await publish(messaging, "washer-9", look("washer-9", branch_id="b1"))
        assert await _dead_reason(messaging) == "branch-forbidden"

        await publish(messaging, "washer-9", look("washer-9", branch_id="b9"))
        await eventually(lambda: _state_is(service, "washer-9", "ok"), what="the good sample")
        assert await messaging.count("telemetry.reported.dlq") == 0


async def _dead_reason(messaging: Messaging) -> Any:
    message = await messaging.take("telemetry.reported.dlq")
    assert message.headers["x-original-queue"] == QUEUE
    return message.headers["x-dead-reason"]


async def test_a_device_cannot_speak_for_another_by_a_header(
    world: Any, messaging: Messaging, look: Any
) -> None:
    forged = {"x-original-routing-key": "telemetry.washer-2"}
    async with world.replica(messaging.amqp_url):
        await publish(messaging, "washer-1", look("washer-2", fault_code="E1"), headers=forged)
        message = await messaging.take("telemetry.reported.dlq")
        assert message.headers["x-dead-reason"] == "equipment-forbidden"
        assert message.headers["x-original-routing-key"] == "telemetry.washer-1"


async def test_a_redriven_message_is_known_by_its_first_routing_key(
    world: Any, messaging: Messaging, look: Any
) -> None:
    async with world.replica(messaging.amqp_url) as service:
        body = json.dumps({"samples": [look()]}).encode()
        headers = {"x-original-routing-key": "telemetry.washer-1"}
        await messaging.publish_raw(REQUEUE_EXCHANGE, QUEUE, body, headers=headers)
        await eventually(lambda: _state_is(service, "washer-1", "ok"), what="the sample")
        await messaging.publish_raw(REQUEUE_EXCHANGE, QUEUE, body)
        assert await _dead_reason(messaging) == "topic-unknown"
