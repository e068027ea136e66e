"""Equipment at a real broker that asks this service who may do what: the settings are those of the README."""

import asyncio
import contextlib
import json
import math
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aio_pika
import aiomqtt
import httpx
import pytest
from aio_pika.exceptions import AMQPError

from laundry_events import broker_settings
from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST
from laundry_servers import choice, rabbitmqctl, vhosts
from laundry_servers.addresses import BrokerAddress
from laundry_servers.choice import Kind
from laundry_servers.ports import free_port
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ
from laundry_testing.messaging import Messaging, apply_plan, eventually

pytestmark = pytest.mark.servers

SECRET = "a-secret-of-the-broker"


@dataclass
class AskingBroker:
    """A broker that asks a service on ``asked_port``."""

    address: BrokerAddress
    asked_port: int
    messaging: Messaging
    server: RabbitMQ

    def client(
        self, username: str, password: str, *, version: Any = aiomqtt.ProtocolVersion.V5, **options: Any
    ) -> aiomqtt.Client:
        port = int(self.address.mqtt_url.rsplit(":", 1)[1])
        return aiomqtt.Client(
            "127.0.0.1", port, username=username, password=password, protocol=version, **options
        )

    async def queues(self) -> list[str]:
        """Names of all queues of the virtual host."""
        login = (self.address.username, self.address.password)
        async with httpx.AsyncClient(base_url=self.address.management_url, auth=login, timeout=10) as client:
            answer = await client.get(f"/api/queues/{VHOST}")
        return sorted(queue["name"] for queue in answer.json())

    async def ask_with(self, secret: str) -> None:
        """Let the running node ask with a secret, as it would after a restart with it."""
        asked = f"http://127.0.0.1:{self.asked_port}/mqtt/auth/{secret}"
        settings = "".join(
            f'application:set_env(rabbitmq_auth_backend_http, {question}_path, "{asked}/{question}"), '
            for question in broker_settings.QUESTIONS
        )
        await asyncio.to_thread(
            rabbitmqctl.evaluate,
            self.server.root,
            self.server.folder,
            f"{settings} ok.",
            node=1,
            epmd_port=self.server.epmd_port,
        )

    @staticmethod
    async def cut(client: aiomqtt.Client) -> None:
        """End a connection without a word, so that its will is published."""
        client._client._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def started(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("a broker in a container or elsewhere cannot ask a service on this host's loopback")
    port = free_port()
    config = list(
        broker_settings.lines(
            *broker_settings.for_equipment(VHOST, TELEMETRY_EXCHANGE),
            *broker_settings.equipment_login(f"http://127.0.0.1:{port}/mqtt/auth/{SECRET}"),
        )
    )
    folder = tmp_path_factory.mktemp("asking") / "rabbitmq"
    broker = choice.broker(Kind.NATIVE, folder, Quiet(), extra_config=config)
    try:
        yield broker.start(), port, broker
    finally:
        broker.stop()


@pytest.fixture
def asking_broker(started: tuple[BrokerAddress, int, RabbitMQ]) -> Iterator[AskingBroker]:
    """The broker of this module, with a virtual host that is made for each test."""
    address, port, server = started
    vhosts.create(address, VHOST)
    apply_plan(address, VHOST)
    url = address.amqp_url_for(address.username, address.password, VHOST)
    yield AskingBroker(address, port, Messaging(url, VHOST, address), server)
    vhosts.delete(address, VHOST)


async def test_equipment_publishes_its_own_samples_and_can_do_nothing_else(
    world: Any, asking_broker: AskingBroker, a_sample: Any
) -> None:
    messaging, token = asking_broker.messaging, world.token("device", "b1", sub="washer-1")
    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        with pytest.raises(aiomqtt.MqttError, match="user name or password"):
            async with asking_broker.client("washer-2", token):
                pass
        async with asking_broker.client("washer-1", token) as washer:
            samples = json.dumps({"samples": [a_sample(fault_code="E21")]})
            await washer.publish("telemetry/washer-1", samples, qos=1, timeout=10)
            event = json.loads((await messaging.take("equipment.fault")).body)
            assert (event["equipment_id"], event["fault_code"]) == ("washer-1", "E21")

            # Its token does not name the branch, which only the login told.
            samples = json.dumps({"samples": [a_sample(at=1, branch_id="b2")]})
            await washer.publish("telemetry/washer-1", samples, qos=1, timeout=10)
            dead = await messaging.take("telemetry.reported.dlq")
            assert dead.headers["x-dead-reason"] == "branch-forbidden"

            [granted] = await washer.subscribe("telemetry/#", qos=1, timeout=10)
            assert str(granted) == "Not authorized"
        async with asking_broker.client("washer-1", token) as washer:
            assert not await publishes(washer, "telemetry/washer-2")
        async with asking_broker.client("washer-1", token) as washer:
            await washer.publish("telemetry/washer-1", "{", qos=1, timeout=10)
        dead = await messaging.take("telemetry.reported.dlq")
        assert dead.headers["x-original-routing-key"] == "telemetry.washer-1"
        assert await messaging.count("telemetry.reported.dlq") == 0


async def test_a_device_reads_nothing_not_even_its_own(world: Any, asking_broker: AskingBroker) -> None:
    messaging, token = asking_broker.messaging, world.token("device", "b1", sub="washer-1")
    topics = (
        "telemetry/#", "telemetry/+", "telemetry/washer-1", "telemetry/washer-2", "#", "+/washer-2",
        "$share/all/telemetry/#", "task/submitted", "$SYS/#",
    )  # fmt: skip
    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        queues = await asking_broker.queues()
        for topic in topics:
            async with asking_broker.client("washer-1", token) as washer:
                [granted] = await washer.subscribe(topic, qos=1, timeout=10)
                assert not str(granted).startswith("Granted"), topic
        await eventually(lambda: _has_queues(asking_broker, queues), what="no queue but those from before")
        # Nor with another protocol, or as the queue that its samples go to.
        for name in ("washer-1", f"{VHOST}:washer-1"):
            url = asking_broker.address.amqp_url_for(name, token, VHOST)
            with pytest.raises(AMQPError):
                await aio_pika.connect(url, timeout=10)


async def _has_queues(asking_broker: AskingBroker, names: list[str]) -> bool:
    return await asking_broker.queues() == names


REFUSED = re.compile("not authorized|user name or password", re.IGNORECASE)
V311, V5 = aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5


async def publishes(client: aiomqtt.Client, topic: str, body: str = "{}", *, qos: int = 1) -> bool:
    """Whether the broker acknowledges a message; if not, it ends the connection."""
    publishing = asyncio.ensure_future(client.publish(topic, body, qos=qos, timeout=math.inf))
    await asyncio.wait({publishing, client._disconnected}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    if publishing.done():
        return publishing.exception() is None
    publishing.cancel()
    assert client._disconnected.done(), "the broker says nothing"
    return False


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
async def test_no_device_ends_the_connection_of_another(
    world: Any, asking_broker: AskingBroker, a_sample: Any, version: Any
) -> None:
    messaging = asking_broker.messaging
    victim, thief = (world.token("device", "b1", sub=name) for name in ("washer-1", "washer-10"))
    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        client = asking_broker.client("washer-1", victim, identifier="washer-1", version=version)
        async with client as washer:
            for stolen in ("washer-1", "washer-1/b1", "washer"):
                with pytest.raises(aiomqtt.MqttError):
                    async with asking_broker.client("washer-10", thief, identifier=stolen, version=version):
                        pass
            for own in ("washer-10", "washer-10/left"):
                async with asking_broker.client("washer-10", thief, identifier=own, version=version) as other:
                    sample = json.dumps({"samples": [a_sample("washer-10", fault_code=f"E-{own}")]})
                    assert await publishes(other, "telemetry/washer-10", sample)
            # A vhost before the name is no way round.
            with pytest.raises(aiomqtt.MqttError):
                name = f"{VHOST}:washer-1"
                async with asking_broker.client(name, thief, identifier="washer-1", version=version):
                    pass
            assert await publishes(washer, "telemetry/washer-1", json.dumps({"samples": [a_sample()]}))
        assert await messaging.count("telemetry.reported.dlq") == 0


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
async def test_a_device_leaves_nothing_behind_and_speaks_for_no_other(
    world: Any, asking_broker: AskingBroker, a_sample: Any, version: Any
) -> None:
    messaging, token = asking_broker.messaging, world.token("device", "b1", sub="washer-1")
    body = json.dumps({"samples": [a_sample("washer-2", fault_code="E21")]})
    kept: dict[str, Any] = {"clean_start": False} if version == V5 else {"clean_session": False}

    def client(**options: Any) -> aiomqtt.Client:
        return asking_broker.client("washer-1", token, identifier="washer-1", version=version, **options)

    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        queues = await asking_broker.queues()
        will = aiomqtt.Will("telemetry/washer-2", body, qos=1)
        with contextlib.suppress(aiomqtt.MqttError):
            async with client(will=will, **kept) as washer:
                await asking_broker.cut(washer)
        async with client(keepalive=0, **kept) as washer:
            assert await publishes(washer, "telemetry/washer-1", json.dumps({"samples": [a_sample()]}))
            with contextlib.suppress(aiomqtt.MqttError):
                await washer.subscribe("telemetry/washer-1", qos=1, timeout=5)
        for topic in ("telemetry/washer-2", "telemetry", "telemetry/washer-1/x", "equipment/fault", "$SYS/x"):
            async with client() as washer:
                assert not await publishes(washer, topic, body), topic
        async with client() as washer:
            # The broker takes no QoS 2: it makes 1 of it, or says so by ending the connection (MQTT 5).
            sample = json.dumps({"samples": [a_sample(at=1)]})
            assert await publishes(washer, "telemetry/washer-1", sample, qos=2) == (version == V311)
        await eventually(lambda: _has_queues(asking_broker, queues), what="no queue but those from before")
        await eventually(lambda: _samples(world, 1), what="its own sample")
        assert await world.samples("washer-2") == 0


async def test_when_the_token_is_over_the_device_is_not_heard_any_more(
    world: Any, asking_broker: AskingBroker, a_sample: Any
) -> None:
    messaging = asking_broker.messaging
    async with world.replica(messaging.amqp_url, port=asking_broker.asked_port, mqtt_auth_secret=SECRET):
        token, until = world.token("device", "b1", sub="washer-1", seconds=10), time.time() + 10
        async with asking_broker.client("washer-1", token, identifier="washer-1") as washer:
            assert await publishes(washer, "telemetry/washer-1", json.dumps({"samples": [a_sample()]}))
            await eventually(lambda: _samples(world, 1), what="the sample within its time")
            await asyncio.sleep(until - time.time() + 0.2)
            for idle in range(1, 8):
                if not await publishes(
                    washer, "telemetry/washer-1", json.dumps({"samples": [a_sample(at=idle)]})
                ):
                    break
                # The broker asks again when a connection was idle for a while.
                await asyncio.sleep(2 * idle)
            else:
                raise AssertionError("the connection was never ended")
            if idle > 1:
                dead = await messaging.take("telemetry.reported.dlq")
                assert dead.headers["x-dead-reason"] == "token-expired"
        assert await world.samples("washer-1") == 1
        await eventually(lambda: _is_refused(asking_broker, token), what="the login's refusal")


async def _is_refused(asking_broker: AskingBroker, token: str) -> bool:
    try:
        async with asking_broker.client("washer-1", token, identifier="washer-1"):
            return False
    except aiomqtt.MqttError as error:
        return REFUSED.search(str(error)) is not None


async def _samples(world: Any, number: int) -> bool:
    samples: int = await world.samples("washer-1")
    return samples >= number


async def test_the_secret_changes_while_machines_log_in_and_none_is_sent_away(
    world: Any, asking_broker: AskingBroker, a_sample: Any
) -> None:
    token, new = world.token("device", "b1", sub="washer-1"), "the-next-secret-of-the-broker"
    sent: list[int] = []
    refused: list[int] = []
    over = asyncio.Event()

    async def report() -> None:
        """Log in anew for each sample, and send it again until the broker has it."""
        while not over.is_set():
            body = json.dumps({"samples": [a_sample(at=len(sent) / 10 - 300)]})
            try:
                async with asking_broker.client("washer-1", token) as washer:
                    await washer.publish("telemetry/washer-1", body, qos=1, timeout=5)
                    sent.append(len(sent))
            except aiomqtt.MqttError as error:
                # A login that takes too long is tried again as well, and was not refused.
                if REFUSED.search(str(error)):
                    refused.append(len(sent))

    async def some_more() -> None:
        until = len(sent) + 5
        await eventually(lambda: len(sent) >= until, what="samples that the broker took")

    def replica(**known: str) -> Any:
        return world.replica(asking_broker.messaging.amqp_url, port=asking_broker.asked_port, **known)

    machine = asyncio.create_task(report())
    try:
        async with replica(mqtt_auth_secret=SECRET):
            await some_more()
        async with replica(mqtt_auth_secret=new, mqtt_auth_secret_before=SECRET):
            await some_more()
            before = len(refused)
            await asking_broker.ask_with(new)
            await some_more()
            assert len(refused) == before, "a login was refused while the broker changed"
        async with replica(mqtt_auth_secret=new) as service:
            await some_more()
            over.set()
            await machine
            await eventually(lambda: _samples(world, len(sent)), what="every sample that was taken")
            form = {"username": "washer-1", "password": token, "vhost": VHOST}
            assert (await service.client.post(f"/mqtt/auth/{SECRET}/user", data=form)).status_code == 404
    finally:
        over.set()
        await machine
        await asking_broker.ask_with(SECRET)
