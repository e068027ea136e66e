"""A RabbitMQ cluster that speaks nothing but TLS, and messages that go through it all the while."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika

from laundry_events import BrokerUnavailable, Publisher, broker_settings
from laundry_events.broker_settings import Setting
from laundry_events.definitions import definitions
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.topology import PLAN
from laundry_servers import rabbitmqctl, rootfs
from laundry_servers.authority import Authority
from laundry_servers.files import write_json
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ
from laundry_servers.rabbitmq_tls import reload_certificates
from laundry_service.telemetry.certificates import certificate_shown
from laundry_testing.messaging import eventually

NODES, CLIENT, VHOST = 3, "helper", "laundry"


@dataclass
class Cluster:
    """The nodes, and the authority that everybody trusts."""

    server: RabbitMQ
    authority: Authority

    def url(self, node: int | None = None) -> str:
        """The administrator's address at HAProxy, or at a node itself."""
        address = self.server.address
        url = address.amqp_url if node is None else address.amqp_urls[node]
        return url.replace("/%2F?", f"/{VHOST}?")

    def reload(self) -> None:
        """What ``laundry tls rotate`` does once the files are written."""
        server = self.server
        reload_certificates(server.root, server.folder, self.authority, node=1, epmd_port=server.epmd_port)

    def evaluate(self, expression: str, *, node: int) -> None:
        """Let a node evaluate an Erlang expression."""
        server = self.server
        epmd = server.epmd_port
        rabbitmqctl.evaluate(
            server.root, server.folder, expression, node=node, epmd_port=epmd, tls=server.tls
        )

    def shows(self, node: int) -> int:
        """The serial number of what a node shows to a client."""
        own = self.authority.path_of(self.server.username)
        port = self.server.amqp_ports[node]
        return certificate_shown("127.0.0.1", port, own=own).serial_number


@contextlib.contextmanager
def tls_cluster(folder: Path) -> Iterator[Cluster]:
    """Run the nodes, with what they write in a folder, for the block."""
    authority = Authority(folder / "tls")
    # As in Compose: every node reads the definitions, and queues come once all run.
    file, password = folder / "rabbitmq" / "definitions.json", secrets.token_urlsafe(24)
    boot = [
        Setting("load_definitions", str(file)),
        *broker_settings.cluster([], waits_for=str(NODES)),
    ]
    server = RabbitMQ(
        rootfs.ensure(Quiet()),
        folder / "rabbitmq",
        nodes=NODES,
        password=password,
        authority=authority,
        clients=[CLIENT],
        extra_config="\n".join(broker_settings.lines(*boot)),
    )
    passwords = {each.name: secrets.token_urlsafe(24) for each in PLAN.services}
    administrator = (server.username, password)
    write_json(file, definitions(PLAN, passwords, vhost=VHOST, nodes=NODES, administrator=administrator))
    try:
        server.start()
        yield Cluster(server, authority)
    finally:
        server.stop()


@dataclass
class Load:
    """What was confirmed to a publisher, and what arrived at a consumer."""

    publisher: Publisher
    confirmed: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)

    async def publish(self) -> None:
        """Publish one after another, each until it is confirmed."""
        number = 0
        while True:
            number += 1
            name = str(number)
            while name not in self.confirmed:
                with contextlib.suppress(BrokerUnavailable):
                    await self.publisher.send(
                        EVENTS_EXCHANGE, "task.read", body=b"{}", headers={}, message_id=name
                    )
                    self.confirmed.add(name)
                # Without a connection it fails at once, and nobody else would get a turn.
                await asyncio.sleep(0.005)

    async def take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        """Note a message and acknowledge it."""
        self.arrived.add(str(message.message_id))
        with contextlib.suppress(Exception):  # delivered again if the connection went
            await message.ack()

    async def goes_on(self) -> None:
        """Wait until more was confirmed and arrived."""
        before = (len(self.confirmed), len(self.arrived))
        await eventually(
            lambda: len(self.confirmed) > before[0] + 20 and len(self.arrived) > before[1] + 20,
            what="more messages",
        )


@contextlib.asynccontextmanager
async def under_load(cluster: Cluster) -> AsyncIterator[Load]:
    """Publish and consume for the block."""
    found = Load(Publisher(cluster.url(), source="tests"))
    await found.publisher.wait_connected()
    async with await aio_pika.connect_robust(cluster.url(), reconnect_interval=0.2, timeout=10) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=50)
        queue = await channel.get_queue("task.read")
        await queue.consume(found.take)
        publishing = asyncio.create_task(found.publish())
        try:
            yield found
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await found.publisher.stop()
