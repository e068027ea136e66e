"""A transaction that a test holds open, and who waits for what it has locked."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from laundry_testing.messaging import eventually

PATIENCE_S = 30
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@asynccontextmanager
async def held(work: Callable[[], object]) -> AsyncIterator[None]:
    """Run ``work`` in a transaction that is committed at the end of the block."""
    from identity.database import in_database

    done, over = threading.Event(), threading.Event()

    def hold() -> None:
        work()
        done.set()
        assert over.wait(PATIENCE_S)

    holding = asyncio.create_task(in_database(hold))
    try:
        assert await asyncio.to_thread(done.wait, PATIENCE_S)
        yield
    finally:
        over.set()
        await holding


async def waiting(database_url: str, at_least: int = 1) -> None:
    """Wait until so many statements wait for a lock."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""), timeout=10)
    try:

        async def are() -> bool:
            return bool(await connection.fetchval(WAITING) >= at_least)

        await eventually(are, what=f"{at_least} who wait for a lock")
    finally:
        await connection.close()
