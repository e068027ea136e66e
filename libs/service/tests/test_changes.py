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
    async with changes.following() as payloads:
        connection = await asyncpg.connect(plain_dsn(database_url), timeout=10)
        # Before anybody asks for it: who is told that he follows must miss nothing from then on.
        await connection.execute("NOTIFY towels, 'washed'")
        async with asyncio.timeout(20):
            assert await anext(payloads) == "washed"
    await connection.close()
    await changes.stop()


async def test_following_ends_when_the_service_stops_and_after_its_time() -> None:
    changes = Changes("postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none", "towels")
    stopping = asyncio.Event()
    async with asyncio.timeout(20):
        async with changes.following(stopping) as payloads:
            coming = asyncio.ensure_future(anext(payloads, None))
            await asyncio.sleep(0)
            stopping.set()
            assert await coming is None
            assert [payload async for payload in payloads] == []
        async with changes.following(max_s=0.01) as payloads:
            assert [payload async for payload in payloads] == []


async def test_a_service_starts_without_its_database() -> None:
    changes = Changes("postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none", "towels")
    async with asyncio.timeout(20):
        await changes.start()
        await changes.stop()
