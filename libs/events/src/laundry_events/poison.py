"""Tells a message that kills its consumer from the innocent ones that were in hand with it.

When a consumer dies, the broker raises the delivery count of everything it had in hand and dead-letters what
reaches the limit (``topology.DELIVERY_LIMIT``). A message that kills its process would so take its whole
prefetch window along. So what was in hand at two deaths or more is handled one at a time, and in an order of
chance that is another after each death: an innocent message is done whenever it comes before the guilty one,
and to be behind it sixteen times in a row has a chance of one in 65,000. Nacks and retries do not count as
deaths (measured on RabbitMQ 4.3: kill, close of channel or connection, and reject do, nack does not).

A connection that flaps counts as well. A message that is held meanwhile would be dead-lettered for it, so
from ``HANDLE_ANYWAY_AT`` on it is handled although the circuit breaker is open: one that its consumer
survives is no killer, and goes on as a copy without a count. From ``DEAD_LETTER_AT`` on the consumer
dead-letters a message itself, with all that it knows; what the broker dead-letters says only how often it was
delivered.
"""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from prometheus_client import Counter

from laundry_events.circuit_breaker import HoldEnded
from laundry_events.in_flight import held
from laundry_events.topology import DELIVERY_LIMIT

ISOLATE_AT = 2
HANDLE_ANYWAY_AT = DELIVERY_LIMIT // 2
DEAD_LETTER_AT = DELIVERY_LIMIT - 2
DELIVERY_COUNT = "x-delivery-count"
# The broker sends a window in one go; its suspects are put in order once they are here.
SETTLE_S = 0.1

SUSPECTED = Counter(
    "laundry_events_suspected", "Messages handled alone, as consumers died with them", ["queue"]
)

log = structlog.get_logger(__name__)


def failed_deliveries(headers: Mapping[str, Any]) -> int:
    """How many consumers have ended with this message in hand, as the broker counts."""
    count = headers.get(DELIVERY_COUNT, 0)
    return count if isinstance(count, int) else 0


class PoisonIsolation:
    """Who may be handled when, for one queue."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._waiting: list[tuple[bytes, int]] = []
        self._running = 0
        self._alone = False
        self._changed = asyncio.Condition()
        self._numbers = itertools.count()

    @property
    def none(self) -> bool:
        """Whether no suspect waits or is handled."""
        return not self._waiting and not self._alone

    def begins(self) -> None:
        """Note that a message is handled together with others: all that is done for one while there is no
        suspect, since ``turn`` costs more.
        """
        self._running += 1

    def ends(self) -> bool:
        """Note the end of what began; true if suspects must be told."""
        self._running -= 1
        return bool(self._waiting)

    async def tell(self) -> None:
        """Let those who wait look whether it is their turn."""
        async with self._changed:
            self._changed.notify_all()

    @asynccontextmanager
    async def turn(self, message_id: str | None, deaths: int, *, within_s: float) -> AsyncIterator[None]:
        """Wait until a message may be handled: together with others, or alone if it is a suspect.

        Raises:
            HoldEnded: its turn did not come within so many seconds.
        """
        if deaths >= ISOLATE_AT:
            await self._wait_to_be_alone(message_id, deaths, within_s)
            log.warning(
                "a message that consumers died with is handled alone", queue=self._queue, deaths=deaths
            )
            try:
                yield
            finally:
                self._alone = False
                await self.tell()
            return
        if not self.none:
            await self._when(lambda: self.none, within_s)
        self.begins()
        try:
            yield
        finally:
            if self.ends():
                await self.tell()

    async def _wait_to_be_alone(self, message_id: str | None, deaths: int, within_s: float) -> None:
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
            await self._when(
                lambda: not self._alone and not self._running and min(self._waiting) == place, within_s
            )
            self._alone = True
        finally:
            self._waiting.remove(place)
            if not self._alone:
                # Who gave up may have been the next in line.
                await self.tell()

    async def _when(self, condition: Callable[[], bool], within_s: float) -> None:
        try:
            with held():
                async with asyncio.timeout(within_s), self._changed:
                    await self._changed.wait_for(condition)
        except TimeoutError:
            raise HoldEnded from None
