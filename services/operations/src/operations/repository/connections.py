"""The service's connections to its database: who may have one, and how long anybody waits for one."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg

from laundry_events.silent_hosts import SERVER_SETTINGS, notice_silence
from laundry_service.storage.outages import is_outage

CONNECT_S = 5.0
COMMAND_S = 20.0
LOCK_FAMILY = 0x1A0D
KEPT = 3
"""So many connections hold no queue: whoever holds one asks the database meanwhile, and so do all others."""


class Connections:
    """A pool of at most ``size``. Every failure of it is raised as a ConnectionError or TimeoutError."""

    def __init__(self, url: str, *, size: int) -> None:
        self._url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._size = size
        # Half of a small pool: with one connection of two held, the other serves who holds it.
        self._holders = asyncio.Semaphore(max(1, size - KEPT))
        self._opened: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()

    async def _pool(self) -> "asyncpg.Pool[Any]":
        async with self._opening:
            if self._opened is None:
                with _as_outage():
                    self._opened = await asyncpg.create_pool(
                        self._url,
                        min_size=1,
                        max_size=self._size,
                        max_inactive_connection_lifetime=60,
                        timeout=CONNECT_S,
                        command_timeout=COMMAND_S,
                        server_settings={**SERVER_SETTINGS},
                        init=_opened,
                    )
        return self._opened

    async def close(self) -> None:
        """Close the pool, within ``CONNECT_S``."""
        if self._opened is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    await self._opened.close()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Any]:
        """Lend a connection; whoever waits longer than ``CONNECT_S`` for it gets a TimeoutError."""
        pool = await self._pool()
        with _as_outage():
            async with pool.acquire(timeout=CONNECT_S) as connection:
                try:
                    yield connection
                except asyncpg.ReadOnlySQLTransactionError:
                    # It leads to a standby, as all others may that are as old: new ones find the primary.
                    await pool.expire_connections()
                    raise

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        async with self.one() as connection:
            return list(await connection.fetch(query, *values))

    async def fetchval(self, query: str, *values: Any) -> Any:
        """Return the first value of a query's first row."""
        async with self.one() as connection:
            return await connection.fetchval(query, *values)

    @contextlib.asynccontextmanager
    async def holding(self, queue: str, *, wait_s: float) -> AsyncIterator[bool]:
        """Hold a queue's dead letters among all replicas; yields whether it was got in time.

        The lock is the connection's and dies with this process; whoever waits is served in turn. Of this
        process only so many hold a queue, or wait for one, that ``KEPT`` connections serve the others.
        """
        until = time.monotonic() + wait_s
        if not await _in_time(self._holders, wait_s):
            yield False
            return
        try:
            async with self._locked(queue, until) as got:
                yield got
        finally:
            self._holders.release()

    @contextlib.asynccontextmanager
    async def _locked(self, queue: str, until: float) -> AsyncIterator[bool]:
        pool = await self._pool()
        # crc32 is unsigned, PostgreSQL's integer is not.
        key = zlib.crc32(queue.encode()) - 2**31
        with _as_outage():
            connection = await pool.acquire(timeout=CONNECT_S)
        try:
            try:
                wait_s = max(0.1, until - time.monotonic())
                with _as_outage():
                    await connection.execute(
                        "SELECT pg_advisory_lock($1, $2)", LOCK_FAMILY, key, timeout=wait_s
                    )
                got = True
            except TimeoutError:
                got = False
            yield got
        finally:
            # Giving it back to the pool unlocks everything that it holds.
            with contextlib.suppress(Exception):
                await asyncio.shield(pool.release(connection, timeout=CONNECT_S))


async def _opened(connection: "asyncpg.Connection[Any]") -> None:
    notice_silence(connection)


async def _in_time(semaphore: asyncio.Semaphore, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            return await semaphore.acquire()
    except TimeoutError:
        return False


@contextlib.contextmanager
def _as_outage() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # A database that does not exist is one that a restore has yet to make.
        if not (is_outage(error) or isinstance(error, asyncpg.InvalidCatalogNameError)):
            raise
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
