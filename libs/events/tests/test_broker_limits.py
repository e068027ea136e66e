"""What the broker itself refuses, whoever sends it: the same locally, in Compose and in the chart."""

import asyncio
import re
from pathlib import Path

import aio_pika
import pytest

from laundry_events import Publisher
from laundry_events.broker_settings import MESSAGE_BYTES, MQTT_LOGIN_BYTES, MQTT_PACKET_BYTES
from laundry_events.errors import Unpublishable
from laundry_events.plan import DEAD_EXCHANGE
from laundry_servers.raw_mqtt import raw_mqtt
from laundry_testing.messaging import Messaging

PROJECT = Path(__file__).parents[3]
TOPIC = "telemetry/washer-1"
HEAD = 2 + len(TOPIC) + 2 + 1
"""Topic, packet id and the length of no properties."""

LIMITS = {
    "mqtt.max_packet_size_unauthenticated": MQTT_LOGIN_BYTES,
    "mqtt.max_packet_size_authenticated": MQTT_PACKET_BYTES,
    "max_message_size": MESSAGE_BYTES,
}


@pytest.mark.servers
async def test_a_packet_of_equipment_is_at_most_64_kib(messaging: Messaging) -> None:
    login = (f"{messaging.vhost}:{messaging.broker.username}", messaging.broker.password)
    url = messaging.broker.mqtt_url
    async with messaging.channel() as channel:
        # Where the plugin publishes unless told otherwise: a packet that nobody takes is refused for that.
        telemetry = await channel.get_exchange("laundry.telemetry")
        await telemetry.bind(await channel.get_exchange("amq.topic"), "telemetry.*")
    for size, taken in ((MQTT_PACKET_BYTES - HEAD, True), (MQTT_PACKET_BYTES - HEAD + 1, False)):
        async with raw_mqtt(url, f"washer-{size}-{messaging.vhost}", *login) as device:
            assert await device.publish(TOPIC, b"x" * size) is taken, size
    assert await messaging.count("telemetry.reported") == 1


@pytest.mark.servers
async def test_a_login_of_equipment_is_at_most_16_kib(messaging: Messaging) -> None:
    username, url = f"{messaging.vhost}:nobody", messaging.broker.mqtt_url
    with pytest.raises(ConnectionError, match="may not log in"):
        async with raw_mqtt(url, "washer", username, "x" * 8_000):
            pass
    with pytest.raises((ConnectionResetError, EOFError)):
        async with raw_mqtt(url, "washer", username, "x" * MQTT_LOGIN_BYTES):
            pass


@pytest.mark.servers
async def test_a_message_of_our_own_is_bounded_too(publisher: Publisher, messaging: Messaging) -> None:
    async def send(size: int) -> None:
        await publisher.send(DEAD_EXCHANGE, "task.read.dlq", body=b"x" * size, headers={}, message_id="m")

    ordinary = [asyncio.create_task(send(100)) for _ in range(20)]
    await send(MESSAGE_BYTES)
    # Not sent at all: the broker would close the channel, on which others are in flight.
    with pytest.raises(Unpublishable, match="at most"):
        await send(MESSAGE_BYTES + 1)
    await asyncio.gather(*ordinary)
    assert await messaging.count("task.read.dlq") == 21
    with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed, match="larger than"):
        async with messaging.channel() as channel:
            await channel.default_exchange.publish(
                aio_pika.Message(b"x" * (MESSAGE_BYTES + 1)), routing_key="task.read.dlq"
            )
    assert await messaging.count("task.read.dlq") == 21


@pytest.mark.parametrize(
    "file", ["deploy/compose/rabbitmq.conf", "deploy/helm/laundry/templates/rabbitmq.yaml"]
)
def test_every_broker_has_the_same_limits(file: str) -> None:
    said = dict(re.findall(r"^ *([a-z_.]+) = (\d+)$", (PROJECT / file).read_text(), re.MULTILINE))
    assert {name: int(said[name]) for name in LIMITS} == LIMITS
