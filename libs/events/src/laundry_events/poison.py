"""Tells a poison message, which kills its consumer, from the innocent ones that were in flight with it.

When a consumer dies, the broker raises the delivery count of everything it had in flight and dead-letters
what reaches the limit (``plan.DELIVERY_LIMIT``). A message that kills its process would so take its whole
prefetch window along. So what was in flight at two deaths or more is handled in isolation, one message at a
time, and in an order of chance that is another after each death: an innocent message is done whenever it
comes before the guilty one, and to be behind it sixteen times in a row has a chance of one in 65,000. Nacks
and retries do not count as deaths (measured on RabbitMQ 4.3: a kill, a closed channel or connection, and a
reject do).

A connection that flaps counts as well. A message that is held meanwhile would be dead-lettered for it, so
from ``HANDLE_ANYWAY_AT`` on it is handled although the circuit breaker is open: one that its consumer
survives is no poison, and goes on as a copy without a count. From ``DEAD_LETTER_AT`` on the consumer dead-
letters a message itself, with all that it knows; the broker could only say how often it was delivered.
"""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import Callable

import structlog
from prometheus_client import Counter

from laundry_events.circuit_breaker import HoldEnded
from laundry_events.in_flight import held
from laundry_events.plan import DELIVERY_LIMIT

ISOLATE_AT = 2
HANDLE_ANYWAY_AT = DELIVERY_LIMIT // 2
DEAD_LETTER_AT = DELIVERY_LIMIT - 2
# The broker sends a window in one go; what must be isolated is put in order once all of it is here.
SETTLE_S = 0.1

SUSPECTED = Counter(
    "laundry_events_suspected", "Messages handled alone, as consumers died with them", ["queue"]
)

log = structlog.get_logger(__name__)


class PoisonIsolation:
    """Who may be handled when, for one queue: all together, unless one of them may be poison."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._waiting: list[tuple[bytes, int]] = []
        self._running = 0
        self._alone = False
        self._changed = asyncio.Condition()
        self._numbers = itertools.count()

    def turn(self, message_id: str | None, failed_deliveries: int, *, within_s: float) -> "Turn":
        """Wait, on entering, until a message may be handled: with others, or alone if it may be poison.

        Raises:
            HoldEnded: its turn did not come within that many seconds.
        """
        return Turn(self, message_id, failed_deliveries, within_s)

    @property
    def _idle(self) -> bool:
        return not self._waiting and not self._alone

    async def enter(self, message_id: str | None, failed_deliveries: int, within_s: float) -> bool:
        """Wait for a turn, as ``turn`` does; returns whether it is handled alone."""
        if failed_deliveries >= ISOLATE_AT:
            await self._wait_to_be_alone(message_id, failed_deliveries, within_s)
            log.warning(
                "a message that consumers died with is handled alone",
                queue=self._queue,
                deaths=failed_deliveries,
            )
            return True
        if not self._idle:
            await self._until(lambda: self._idle, within_s)
        self._running += 1
        return False

    async def leave(self, alone: bool) -> None:
        """End a turn, and let those who wait look whether it is theirs."""
        if alone:
            self._alone = False
        else:
            self._running -= 1
        if alone or self._waiting:
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait_to_be_alone(
        self, message_id: str | None, failed_deliveries: int, within_s: float
    ) -> None:
        # Equipment by MQTT gives no id: such messages would all have one place, and come in their old order.
        chance = (
            hashlib.blake2b(f"{message_id}|{failed_deliveries}".encode(), digest_size=8).digest()
            if message_id
            else secrets.token_bytes(8)
        )
        place = (chance, next(self._numbers))
        SUSPECTED.labels(self._queue).inc()
        self._waiting.append(place)
        try:
            await asyncio.sleep(SETTLE_S)
            await self._until(
                lambda: not self._alone and not self._running and min(self._waiting) == place, within_s
            )
            self._alone = True
        finally:
            self._waiting.remove(place)
            if not self._alone:
                # The waiter that gave up may have been next in line.
                await self._tell()

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        try:
            with held():
                async with asyncio.timeout(within_s), self._changed:
                    await self._changed.wait_for(condition)
        except TimeoutError:
            raise HoldEnded from None


class Turn:
    """A message's turn to be handled; entered for every message, so no generator."""

    __slots__ = ("_alone", "_arguments", "_isolation")

    def __init__(
        self, isolation: PoisonIsolation, message_id: str | None, failed_deliveries: int, within_s: float
    ) -> None:
        self._isolation = isolation
        self._arguments = (message_id, failed_deliveries, within_s)

    async def __aenter__(self) -> None:
        self._alone = await self._isolation.enter(*self._arguments)

    async def __aexit__(self, *_: object) -> None:
        await self._isolation.leave(self._alone)
