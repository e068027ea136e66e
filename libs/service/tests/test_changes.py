"""Whoever listens hears of every change, from the start on."""

import asyncio

import asyncpg
import pytest

from laundry_events.relay import plain_dsn
from laundry_service.changes import Changes


@pytest.mark.servers
async def test_who_listens_as_soon_as_the_service_has_started_is_not_sent_away(database_url: str) -> None:
    changes = Changes(database_url, "towels")
    await changes.start()
    listening = changes.listen()
    following = asyncio.ensure_future(anext(listening))
    await asyncio.sleep(0)
    connection = await asyncpg.connect(plain_dsn(database_url), timeout=10)
    await connection.execute("NOTIFY towels, 'washed'")
    async with asyncio.timeout(20):
        assert await following == "washed"
    await connection.close()
    await listening.aclose()
    await changes.stop()


async def test_a_service_starts_without_its_database() -> None:
    changes = Changes("postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none", "towels")
    async with asyncio.timeout(20):
        await changes.start()
        await changes.stop()
