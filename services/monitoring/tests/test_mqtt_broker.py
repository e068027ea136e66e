"""Equipment at a real broker that asks this service who may do what: the settings are those of the README."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from laundry.ports import free_port
from laundry.progress import Quiet
from laundry.servers import choice, vhosts
from laundry.servers.addresses import BrokerAddress
from laundry.servers.choice import Kind
from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST
from laundry_testing.messaging import Messaging, apply_plan

pytestmark = pytest.mark.servers

SECRET = "a-secret-of-the-broker"


@dataclass
class AskingBroker:
    """A broker that asks a service on ``asked_port``."""

    address: BrokerAddress
    asked_port: int
    messaging: Messaging

    def client(self, username: str, password: str) -> aiomqtt.Client:
        port = int(self.address.mqtt_url.rsplit(":", 1)[1])
        version = aiomqtt.ProtocolVersion.V5
        return aiomqtt.Client("127.0.0.1", port, username=username, password=password, protocol=version)


@pytest.fixture
def asking_broker(rabbitmq: BrokerAddress, pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Any]:
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("a broker in a container or elsewhere cannot ask a service on this host's loopback")
    port = free_port()
    config = [
        f"mqtt.vhost = {VHOST}",
        f"mqtt.exchange = {TELEMETRY_EXCHANGE}",
        "mqtt.allow_anonymous = false",
        "auth_backends.1 = internal",
        "auth_backends.2 = http",
        "auth_http.http_method = post",
    ]
    config += [
        f"auth_http.{what}_path = http://127.0.0.1:{port}/mqtt/auth/{SECRET}/{what}"
        for what in ("user", "vhost", "resource", "topic")
    ]
    broker = choice.broker(Kind.NATIVE, tmp_path / "rabbitmq", Quiet(), extra_config=config)
    try:
        address = broker.start()
        vhosts.create(address, VHOST)
        apply_plan(address, VHOST)
        url = address.amqp_url_for(address.username, address.password, VHOST)
        yield AskingBroker(address, port, Messaging(url, VHOST, address))
    finally:
        broker.stop()


async def test_equipment_publishes_its_own_samples_and_can_do_nothing_else(
    world: Any, asking_broker: AskingBroker, look: Any
) -> None:
    messaging, token = asking_broker.messaging, world.token("device", "b1", sub="washer-1")
    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        with pytest.raises(aiomqtt.MqttError, match="user name or password"):
            async with asking_broker.client("washer-2", token):
                pass
        async with asking_broker.client("washer-1", token) as washer:
            samples = json.dumps({"samples": [look(fault_code="E21")]})
            await washer.publish("telemetry/washer-1", samples, qos=1, timeout=10)
            event = json.loads((await messaging.take("equipment.fault")).body)
            assert (event["equipment_id"], event["fault_code"]) == ("washer-1", "E21")

            # Its token does not name the branch, which only the login told.
            samples = json.dumps({"samples": [look(at=1, branch_id="b2")]})
            await washer.publish("telemetry/washer-1", samples, qos=1, timeout=10)
            dead = await messaging.take("telemetry.reported.dlq")
            assert dead.headers["x-dead-reason"] == "branch-forbidden"

            [granted] = await washer.subscribe("telemetry/#", qos=1, timeout=10)
            assert str(granted) == "Not authorized"
        async with asking_broker.client("washer-1", token) as washer:
            with pytest.raises(aiomqtt.MqttError):
                await washer.publish("telemetry/washer-2", "{}", qos=1, timeout=3)
        async with asking_broker.client("washer-1", token) as washer:
            await washer.publish("telemetry/washer-1", "{", qos=1, timeout=10)
        dead = await messaging.take("telemetry.reported.dlq")
        assert dead.headers["x-original-routing-key"] == "telemetry.washer-1"
        assert await messaging.count("telemetry.reported.dlq") == 0
