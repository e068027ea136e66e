"""Whether the node that a consumer is connected to still belongs to a majority; if not, it is left.

A node that is cut off from the others keeps its clients. It delivers nothing and tells nobody, and what a
consumer may ask for without a write (its queue's consumers, its messages) a deposed leader answers as before.
Repeating a binding is a write to the metadata store, which only a majority takes, and changes nothing; unlike
a probe that is published it puts no queue there and is not held back by an alarm, which would hold back the
acknowledgements of the same connection too.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import aiormq
import structlog
from aio_pika.abc import AbstractRobustConnection
from aiormq.abc import AbstractChannel, AbstractConnection

from laundry_events.connection import leave
from laundry_events.topology import ALIVE_EXCHANGE, ALIVE_KEY, RETRY_EXCHANGE

LOOK_EVERY_S = 5.0
ANSWER_S = 3.0
STALLED_S = 8.0
"""So long nothing may be answered before another connection is tried."""

FREE_TRIES = 5
PATIENCE_S = 64.0
"""Where a majority is away no node answers: after some tries each wait is twice the last, up to this."""

log = structlog.get_logger(__name__)


class NothingToAsk(Exception):
    """The broker has an older plan, or this user may not ask."""


class MajorityWatch:
    """Asks now and then, and closes the connection if no answer comes; the library makes another."""

    def __init__(self, connection: Callable[[], AbstractRobustConnection | None]) -> None:
        """Take what tells the connection that is consumed with, None while there is none."""
        self._of = connection
        self._task: asyncio.Task[None] | None = None
        self._channel: AbstractChannel | None = None

    def start(self) -> None:
        """Begin, in the background."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="majority-watch")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        known: AbstractConnection | None = None
        answered_at, left = time.monotonic(), 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            connection = self._present()
            if connection is None or connection is not known:
                known, answered_at = connection, time.monotonic()
            if connection is None:
                continue
            try:
                if await self._answers(connection):
                    answered_at, left = time.monotonic(), 0
            except NothingToAsk as error:
                log.warning(
                    "it cannot be told whether the broker's node is cut off; apply the topology",
                    error=str(error),
                )
                return
            silent_s = time.monotonic() - answered_at
            patience_s = min(STALLED_S * 2.0 ** max(0, left - FREE_TRIES), PATIENCE_S)
            if silent_s >= patience_s and connection is self._present():
                log.warning(
                    "the broker's node is cut off or takes no writes; connecting anew",
                    silent_s=round(silent_s, 1),
                )
                left += 1
                await leave(connection, "its node takes no writes")

    def _present(self) -> AbstractConnection | None:
        robust = self._of()
        if robust is None or not robust.connected.is_set() or robust.transport is None:
            return None
        connection = robust.transport.connection
        return None if connection.is_closed else connection

    async def _answers(self, connection: AbstractConnection) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                if (
                    self._channel is None
                    or self._channel.is_closed
                    or self._channel.connection is not connection
                ):
                    self._channel = await connection.channel(publisher_confirms=False)
                await self._channel.exchange_bind(RETRY_EXCHANGE, ALIVE_EXCHANGE, ALIVE_KEY, timeout=ANSWER_S)
        except (aiormq.exceptions.ChannelAccessRefused, aiormq.exceptions.ChannelNotFoundEntity) as error:
            raise NothingToAsk(str(error)) from error
        except (TimeoutError, aiormq.exceptions.AMQPError, OSError, RuntimeError):
            return False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False  # the library cancels what waits on a channel that goes
        return True
