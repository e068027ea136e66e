"""A database that vanishes, or becomes another, holds no lock for hours and no pool for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import exc, text
from sqlalchemy.engine import make_url

from laundry_events.dsn import plain_dsn
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_outage
from laundry_service.streams import changes as streams
from laundry_service.streams.changes import Changes
from laundry_testing.messaging import eventually

pytestmark = pytest.mark.servers
TIMEOUTS = (
    "SELECT name, setting::int FROM pg_settings"
    " WHERE name LIKE 'tcp_%' OR name = 'idle_in_transaction_session_timeout'"
)


async def test_the_locks_of_a_host_that_vanishes_are_free_within_half_a_minute(database_url: str) -> None:
    database = Database(database_url, pool=1, lock_timeout_s=3)
    async with database.session() as session:
        told = {str(name): int(value) for name, value in await session.execute(text(TIMEOUTS))}
        assert await session.scalar(text("SHOW lock_timeout")) == "3s"
    await database.close()
    asked_s = told["tcp_keepalives_idle"] + told["tcp_keepalives_interval"] * told["tcp_keepalives_count"]
    assert 0 < asked_s <= 30 and 0 < told["tcp_user_timeout"] <= 30_000
    # A photo is deleted in the store within a transaction, which may take a minute.
    assert 60_000 < told["idle_in_transaction_session_timeout"] <= 180_000


async def test_connections_that_nobody_uses_fail_by_themselves_once_the_server_vanished(
    database_url: str,
) -> None:
    database = Database(database_url, pool=1)
    async with database.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        found = driver._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert 0 < found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
    await database.close()


@pytest.mark.parametrize("single", [False, True])
async def test_a_pool_opened_to_a_standby_is_left_with_the_first_write_that_it_refuses(
    single: bool, database_url: str
) -> None:
    """What its connections lead to only reads, also after a failover; new ones lead elsewhere."""
    url = make_url(database_url)
    other = await asyncpg.connect(plain_dsn(database_url))
    await other.execute("CREATE TABLE written (id int)")
    await other.execute(f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on')
    database = Database(database_url, pool=3)

    async def read() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_sleep(0.2)"))

    async def write() -> None:
        async with database.single() if single else database.transaction() as there:
            await there.execute(text("INSERT INTO written VALUES (1)"))

    await asyncio.gather(*(read() for _ in range(3)))
    await other.execute(f'ALTER DATABASE "{url.database}" RESET default_transaction_read_only')
    with pytest.raises(exc.DBAPIError) as refused:
        await write()
    assert is_outage(refused.value)
    for _ in range(3):
        await write()
    await database.close()
    await other.close()


class Mute:
    """The way to a server, which carries nothing more of the first connection that says a word."""

    def __init__(self, host: str, port: int, word: bytes) -> None:
        self._target = (host, port)
        self._word: bytes | None = word
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Return the port that leads there."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        for one, other in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pump(one, other)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._word is not None and self._word in data:
                self._word = None
                await asyncio.Event().wait()
            writer.write(data)
        writer.close()


@pytest_asyncio.fixture
async def mute(database_url: str) -> AsyncIterator[Mute]:
    url = make_url(database_url)
    mute = Mute(url.host or "127.0.0.1", url.port or 5432, b"LISTEN")
    yield mute
    await mute.close()


async def test_pages_are_live_again_soon_after_a_connection_vanished_as_it_began_to_listen(
    database_url: str, mute: Mute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PROBE_S", 0.5)
    monkeypatch.setattr(streams, "START_S", 0.1)
    url = make_url(database_url).set(host="127.0.0.1", port=await mute.open())

    async def nothing(*_: Any) -> list[Any]:
        return []

    changes = Changes(url.render_as_string(hide_password=False), "machines", nothing)
    await changes.start()
    await eventually(lambda: changes._listening, what="a connection that listens")
    await changes.stop()
