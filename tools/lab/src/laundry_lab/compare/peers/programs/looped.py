"""For peers that are asynchronous: tasks that send, and a pool of connections for those that work."""

import asyncio
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import asyncpg
import uvloop

from laundry_lab.compare.peers.programs.orders import (
    CALLERS,
    DATABASE_URL,
    IN_HAND,
    PADDING,
    Order,
    Sent,
    orders,
)

INSERT = "INSERT INTO effects (number, due, worker) VALUES ($1, $2, $3)"
Send = Callable[[int, float, str], Awaitable[object]]


class Effects:
    """The effects of tasks: a row each, with nothing that would hide a second one."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()

    async def record(self, number: int, due: float) -> None:
        """Have the effect of a task."""
        pool = self._pool or await self._opened()
        await pool.execute(INSERT, number, due, os.getpid())

    async def _opened(self) -> "asyncpg.Pool[Any]":
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(DATABASE_URL, min_size=IN_HAND, max_size=IN_HAND)
        return self._pool


async def nothing_left() -> None:
    """What was sent is at the broker when sending returns."""


async def send_orders(send: Send, until_sent: Callable[[], Awaitable[None]] = nothing_left) -> None:
    """Send what standard input tells; ``until_sent`` waits until all of it is where workers take it."""
    told = orders()
    while (order := await asyncio.to_thread(next, told, None)) is not None:
        (await _send(order, send, until_sent)).say()


async def _send(order: Order, send: Send, until_sent: Callable[[], Awaitable[None]]) -> Sent:
    refused: list[int] = []
    turns = iter(range(order.number))
    began = [time.time(), time.process_time()]
    first = asyncio.Barrier(CALLERS)

    async def caller() -> None:
        for done, turn in enumerate(turns):
            due = order.due(turn, began[0])
            await asyncio.sleep(max(0.0, due - time.time()))
            try:
                await send(order.first + turn, due, PADDING)
            except Exception:
                traceback.print_exc()
                refused.append(order.first + turn)
            if not order.rate and not done and await first.wait() == 0:
                # Every caller has sent one, and has its connection: what counts is what follows.
                began[:] = [time.time(), time.process_time()]

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller())
    await until_sent()
    return Sent(refused, time.time() - began[0], time.process_time() - began[1])


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a sending program on the loop that every peer gets here."""
    uvloop.run(main)
