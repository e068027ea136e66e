"""The servers of a comparison, which do nothing else, and a scratch space for each peer."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from laundry_lab.bench.scratch import scratch_database
from laundry_servers import choice, vhosts
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, amqp_url
from laundry_servers.progress import Progress, step

EFFECTS = """
CREATE TABLE effects (
    number int NOT NULL, due double precision NOT NULL, worker int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True)
class Servers:
    """Where brokers and database are, and a folder for logs."""

    broker: BrokerAddress
    database: DatabaseAddress
    folder: Path

    @property
    def nodes(self) -> int:
        """How many nodes the broker has."""
        return len(self.broker.amqp_urls)


@dataclass(frozen=True)
class Space:
    """A virtual host whose queues are quorum queues, and a database with a table of effects."""

    amqp_url: str = field(repr=False)
    database_url: str = field(repr=False)
    management_url: str
    nodes: int

    @property
    def environment(self) -> dict[str, str]:
        """What the peers' programs are told of it."""
        return {
            "COMPARE_AMQP_URL": self.amqp_url,
            "COMPARE_DATABASE_URL": self.database_url,
            "COMPARE_MANAGEMENT_URL": self.management_url,
            "COMPARE_NODES": str(self.nodes),
        }


@contextmanager
def started(nodes: int, progress: Progress) -> Iterator[Servers]:
    """Start brokers and a database for the block, and leave nothing behind. Raises LaundryError."""
    kind = choice.choose(nodes=nodes, own=True).kind
    folder = Path(tempfile.mkdtemp(prefix="laundry-compare-"))
    # PostgreSQL runs as another user when this runs as root.
    folder.chmod(0o755)
    try:
        broker = choice.broker(kind, folder / "rabbitmq", progress, nodes=nodes)
        # When an effect was committed, from outside of those who compete.
        database = choice.database(kind, folder / "postgres", settings={"track_commit_timestamp": "on"})
        with step(progress, "PostgreSQL"):
            administrator = database.start()
        try:
            with step(progress, f"RabbitMQ, {nodes} node{'s' if nodes > 1 else ''}"):
                address = broker.start()
            try:
                yield Servers(address, administrator, folder)
            finally:
                broker.stop()
        finally:
            database.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def scratch(servers: Servers) -> AsyncIterator[Space]:
    """Make a space, and drop it whatever happens."""
    name = f"compare_{secrets.token_hex(6)}"
    broker = servers.broker
    await asyncio.to_thread(vhosts.create, broker, name)
    try:
        # One node, that of all queues' leaders, and no proxy: the same for all.
        url = amqp_url(broker.amqp_urls[0], username=broker.username, password=broker.password, vhost=name)
        async with scratch_database(servers.database, name) as database_url:
            connection = await asyncpg.connect(database_url, timeout=10)
            try:
                await connection.execute(EFFECTS)
            finally:
                await connection.close()
            yield Space(url, database_url, broker.management_url, servers.nodes)
    finally:
        await asyncio.to_thread(vhosts.delete, broker, name)
