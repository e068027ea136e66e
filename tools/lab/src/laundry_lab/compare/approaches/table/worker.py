"""Claims rows with ``FOR UPDATE SKIP LOCKED``; the end of the transaction, or of the process, frees them."""

import asyncio
import contextlib
from typing import Any

import asyncpg

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import CONCURRENCY, DATABASE_ERRORS, Addresses
from laundry_lab.compare.approaches.work import INSERT, Effect, Work

CLAIM = """
SELECT id, body FROM tasks WHERE status = 'pending' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
DONE = "UPDATE tasks SET status = 'done' WHERE id = ANY($1)"
AGAIN_S = 0.2


class Worker:
    """Plays an AI replica in this design: takes photos and stores their effects."""

    def __init__(self, addresses: Addresses, work: Work, *, every_s: float, notify: bool) -> None:
        self._addresses, self._work = addresses, work
        self._every_s, self._notify = every_s, notify
        self._told = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask the table from now on."""
        self._taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        while True:
            # A database that goes away takes the claim with it, and comes back.
            with contextlib.suppress(*DATABASE_ERRORS):
                connection = await asyncpg.connect(self._addresses["database"], timeout=5)
                try:
                    await self._ask(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, connection: "asyncpg.Connection[Any]") -> None:
        if self._notify:
            await connection.add_listener("tasks", lambda *_: self._told.set())
        while True:
            self._told.clear()
            if await self._claim(connection) < CONCURRENCY:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._told.wait()

    async def _claim(self, connection: "asyncpg.Connection[Any]") -> int:
        effects: list[Effect] = []
        async with connection.transaction():
            rows = await connection.fetch(CLAIM, CONCURRENCY)
            if not rows:
                return 0
            for row in rows:
                effects.append(await self._work.do(TaskSubmitted.model_validate_json(row["body"])))
            await connection.executemany(INSERT, effects)
            await connection.execute(DONE, [row["id"] for row in rows])
        for effect in effects:
            self._work.committed(effect)
        return len(rows)

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
