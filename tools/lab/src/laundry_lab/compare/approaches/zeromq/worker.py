"""What comes from the socket is worked on; if this process ends, it is gone."""

import asyncio

import asyncpg
import zmq
import zmq.asyncio

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import CONCURRENCY, POOL, Addresses
from laundry_lab.compare.approaches.work import INSERT, Work


class Worker:
    """Plays an AI replica in this design: takes photos and stores their effects."""

    def __init__(self, addresses: Addresses, work: Work) -> None:
        self._addresses, self._work = addresses, work
        self._socket = zmq.asyncio.Context().socket(zmq.PULL)
        self._room = asyncio.Semaphore(CONCURRENCY)
        self._taking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect to the helper, which may come later."""
        self._pool = await asyncpg.create_pool(self._addresses["database"], min_size=POOL, max_size=POOL)
        self._socket.connect(self._addresses["endpoint"])
        self._taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async with asyncio.TaskGroup() as handling:
            while True:
                await self._room.acquire()
                handling.create_task(self._handle(await self._socket.recv()))

    async def _handle(self, body: bytes) -> None:
        try:
            effect = await self._work.do(TaskSubmitted.model_validate_json(body))
            await self._pool.execute(INSERT, *effect)
            self._work.committed(effect)
        finally:
            self._room.release()

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
        self._socket.close(linger=0)
        await self._pool.close()
