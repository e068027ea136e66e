"""The service's own pool: what of it is left behind when its database vanishes, or is another than before."""

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from laundry_events.dsn import plain_dsn
from operations.repository.connections import Connections

pytestmark = pytest.mark.servers
SIZE = 3


@pytest_asyncio.fixture
async def connections(database_url: str) -> AsyncIterator[Connections]:
    connections = Connections(database_url, size=SIZE)
    yield connections
    await connections.close()


async def test_a_pool_opened_to_a_standby_is_left_with_the_first_write_that_it_refuses(
    connections: Connections, database_url: str
) -> None:
    """What its connections lead to only reads, also after a failover; new ones lead elsewhere."""
    name = make_url(database_url).database
    other = await asyncpg.connect(plain_dsn(database_url))
    await other.execute("CREATE TABLE written (id int)")
    await other.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await asyncio.gather(*(connections.fetchval("SELECT pg_sleep(0.2)") for _ in range(SIZE)))
    await other.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    with pytest.raises(ConnectionError):
        await connections.fetchval("INSERT INTO written VALUES (1)")
    await asyncio.gather(*(connections.fetchval("INSERT INTO written VALUES (1)") for _ in range(SIZE)))
    await other.close()


async def test_what_it_holds_ends_soon_after_its_host_vanished_and_it_fails_soon_after_its_server(
    connections: Connections,
) -> None:
    async with connections.one() as connection:
        idle, interval, count = [
            int(await connection.fetchval(f"SHOW tcp_keepalives_{name}"))
            for name in ("idle", "interval", "count")
        ]
        found = connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert 0 < found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
    assert 0 < idle + interval * count <= 30
