"""From the stream; and from the store what the stream does not bring (``processedAt IS NULL``, line 474)."""

import asyncio
from typing import Any

import asyncpg
import nats.errors

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import CONCURRENCY, DATABASE_ERRORS, POOL, Addresses
from laundry_lab.compare.approaches.event_store import stream
from laundry_lab.compare.approaches.work import Work

# One statement, and so one transaction. The event may be here before its row, which is written beside it.
PROCESS = """
WITH first AS (
    INSERT INTO events (event_id, type, payload, processed_at) VALUES ($1, $5, $6, now())
    ON CONFLICT (event_id) DO UPDATE SET processed_at = now() WHERE events.processed_at IS NULL
    RETURNING event_id
)
INSERT INTO effects (task_id, worker, received_at, done_at)
SELECT event_id, $2, $3, $4 FROM first RETURNING task_id
"""
LEFT = """
SELECT payload FROM events WHERE processed_at IS NULL AND recorded_at < now() - make_interval(secs => $1)
ORDER BY recorded_at LIMIT 100
"""
LATE_S, SWEEP_S = stream.ACK_WAIT_S, 1.0
AGAIN_S = 0.2


class Worker:
    """Plays an AI replica in this design: takes photos and stores their effects."""

    def __init__(self, addresses: Addresses, work: Work) -> None:
        self._addresses, self._work = addresses, work
        self._room = asyncio.Semaphore(CONCURRENCY)
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect to the database and to the stream."""
        self._pool = await asyncpg.create_pool(self._addresses["database"], min_size=POOL, max_size=POOL)
        self._connection = await stream.connect(self._addresses["broker"])
        context = self._connection.jetstream()
        await stream.ensure(context)
        subscription = await stream.subscribe(context)
        self._running = [asyncio.create_task(self._take(subscription)), asyncio.create_task(self._sweep())]

    async def _take(self, subscription: Any) -> None:
        while True:
            try:
                found = await subscription.fetch(stream.BATCH, timeout=1)
            except (nats.errors.Error, TimeoutError, OSError):
                # Nothing came, or the server is away.
                await asyncio.sleep(0 if self._connection.is_connected else AGAIN_S)
                continue
            await asyncio.gather(*(self._handle(message) for message in found), return_exceptions=True)

    async def _handle(self, message: Any) -> None:
        await self._process(message.data)
        await message.ack()

    async def _process(self, body: bytes) -> None:
        photo = TaskSubmitted.model_validate_json(body)
        async with self._room:
            effect = await self._work.do(photo)
            if await self._pool.fetchval(PROCESS, *effect, photo.event_type, body) is not None:
                self._work.committed(effect)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                for row in await self._pool.fetch(LEFT, LATE_S):
                    await self._process(row["payload"])
            except DATABASE_ERRORS:
                await asyncio.sleep(AGAIN_S)

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._connection.close()
        await self._pool.close()
