"""Tells a message that kills its consumer from the innocent ones that were in hand with it.

When a consumer dies, the broker raises the delivery count of everything it had in hand and dead-letters what
reaches the limit (``topology.DELIVERY_LIMIT``). A message that kills its process would so take its whole
prefetch window along. So what was in hand at two deaths or more is handled one at a time, and in an order of
chance that is another after each death: an innocent message is done whenever it comes before the guilty one,
and to be behind it eighteen times in a row has a chance of one in 260,000. Nacks and retries do not count as
deaths (measured on RabbitMQ 4.3: kill, close of channel or connection, and reject do, nack does not).
"""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from prometheus_client import Counter

SUSPECT_AT = 2
DELIVERY_COUNT = "x-delivery-count"
# The broker sends a window in one go; its suspects are put in order once they are here.
SETTLE_S = 0.1

SUSPECTED = Counter(
    "laundry_events_suspected", "Messages handled alone, as consumers died with them", ["queue"]
)

log = structlog.get_logger(__name__)


def deaths_of(headers: Mapping[str, Any]) -> int:
    """How many consumers have ended with this message in hand, as the broker counts."""
    count = headers.get(DELIVERY_COUNT, 0)
    return count if isinstance(count, int) else 0


class Suspects:
    """Who may be handled when, for one queue."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._waiting: list[tuple[bytes, int]] = []
        self._running = 0
        self._alone = False
        self._changed = asyncio.Condition()
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, message_id: str | None, deaths: int) -> AsyncIterator[None]:
        """Wait until a message may be handled: together with others, or alone if it is a suspect."""
        if deaths >= SUSPECT_AT:
            async with self._alone_turn(message_id, deaths):
                yield
            return
        if self._waiting or self._alone:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._waiting and not self._alone)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if self._waiting:
                async with self._changed:
                    self._changed.notify_all()

    @asynccontextmanager
    async def _alone_turn(self, message_id: str | None, deaths: int) -> AsyncIterator[None]:
        # Equipment by MQTT gives no id: such messages would all have one place, and come in their old order.
        chance = (
            hashlib.blake2b(f"{message_id}|{deaths}".encode(), digest_size=8).digest()
            if message_id
            else secrets.token_bytes(8)
        )
        place = (chance, next(self._numbers))
        SUSPECTED.labels(self._queue).inc()
        self._waiting.append(place)
        try:
            await asyncio.sleep(SETTLE_S)
            async with self._changed:
                await self._changed.wait_for(
                    lambda: not self._alone and not self._running and min(self._waiting) == place
                )
                self._alone = True
        finally:
            self._waiting.remove(place)
        log.warning("a message that consumers died with is handled alone", queue=self._queue, deaths=deaths)
        try:
            yield
        finally:
            async with self._changed:
                self._alone = False
                self._changed.notify_all()
