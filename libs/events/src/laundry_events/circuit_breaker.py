"""Holds messages while a server that all of them need is away, instead of sending each through its retries.

The usual circuit breakers (purgatory, aiobreaker, pybreaker) answer a call with an error of their own while
the circuit is open. A consumer needs the opposite: to keep what is in flight, take nothing more, and continue
with the very same messages. Holding does both, since the broker sends no more than the prefetch.

A ping asks less than a handler does (a bucket that is there may refuse every object), so the breaker also
opens when several messages in a row fail for the same server, whatever its ping says. Then it is half open
for one message at a time, the probe, until one gets through.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PING_TIMEOUT_S = 5.0
FAILURES_TO_OPEN = 5
"""So many different messages in a row that fail for a server open the breaker though its ping succeeds."""

PAUSED = Gauge("laundry_consumer_paused", "1 while messages are held since a server is away", ["dependency"])
OUTAGES = Counter("laundry_consumer_outages", "How often messages had to be held", ["dependency"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Dependency:
    """A dependency without which no message of a consumer can be handled.

    Attributes:
        name: what people call it, e.g. ``s3``.
        blamed_for: whether an error of a handler may mean that the server is away.
        ping: asks the server; raises or returns false while it is away.
    """

    name: str
    blamed_for: Callable[[BaseException], bool]
    ping: Callable[[], Awaitable[bool]]


class HoldEnded(Exception):
    """The consumer is stopping, or a message was held long enough; it goes back to the queue."""


class HalfOpenProbe:
    """One message that is let through an open breaker to see whether the server is back."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

    def end(self, well: bool | None = None) -> None:
        """Report the result, ``None`` for no result. Only the first report counts."""
        if not self.outcome.done():
            self.outcome.set_result(well)


class CircuitBreaker:
    """Closed while all dependencies are up. One for all queues of a consumer.

    Attributes:
        open: whether a message must ``wait`` before it is handled.
        has_failures: whether a success should be told with ``succeeded``.
    """

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        """Watch what the handlers depend on; nothing is probed until a handler fails."""
        self._dependencies = tuple(dependencies)
        self.open = False
        self._stopping = False
        self._away: Dependency | None = None
        self._failures: dict[str, set[str]] = {}
        self._waiting: deque[asyncio.Future[HalfOpenProbe | None]] = deque()
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._pings: dict[str, asyncio.Task[bool]] = {}
        for dependency in self._dependencies:
            PAUSED.labels(dependency.name).set(0)
            OUTAGES.labels(dependency.name)

    @property
    def away(self) -> str | None:
        """Name of the dependency being waited for, or None."""
        return self._away.name if self._away is not None else None

    @property
    def has_failures(self) -> bool:
        """Whether messages failed for a server since the last success."""
        return bool(self._failures)

    def is_away(self, error: BaseException) -> bool:
        """Whether an error comes from the very server that is waited for."""
        return self._away is not None and self._away.blamed_for(error)

    async def wait(self, *, within_s: float) -> HalfOpenProbe | None:
        """Wait until the breaker is closed, or until it is this message's turn to be the probe.

        Returns:
            the probe, whose end the caller must tell.

        Raises:
            HoldEnded: the consumer stops, or the breaker stayed open for ``within_s`` seconds.
        """
        probe: HalfOpenProbe | None = None
        if self.open and not self._stopping:
            probe = await self._queued(within_s)
        if self._stopping:
            raise HoldEnded
        return probe

    async def _queued(self, within_s: float) -> HalfOpenProbe | None:
        place: asyncio.Future[HalfOpenProbe | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._changed.set()
        try:
            await asyncio.wait([place], timeout=within_s)
        except asyncio.CancelledError:
            if place.done() and (probe := place.result()) is not None:
                probe.end()
            raise
        finally:
            if not place.done():
                self._waiting.remove(place)
        if not place.done():
            raise HoldEnded
        return place.result()

    async def opens_for(self, error: BaseException, *, message: str = "") -> bool:
        """Whether an error comes from a server's being away; then the message must wait.

        Args:
            message: names the message, so that one that fails again and again is no outage.
        """
        for dependency in self._dependencies:
            if not dependency.blamed_for(error):
                continue
            if self._away is dependency:
                return True
            if not await self._ping_once(dependency):
                self._open(dependency)
                return True
            self._failures.setdefault(dependency.name, set()).add(message)
            if self._fails_for_all(dependency):
                self._open(dependency)
                return True
        return False

    def succeeded(self, probe: HalfOpenProbe | None = None) -> None:
        """Note that a handler succeeded: its dependency is up again."""
        self._failures.clear()
        self._changed.set()
        if probe is not None:
            probe.end(True)

    def release(self) -> None:
        """Release everything held, because the consumer is stopping."""
        self._stopping = self.open = True
        if self._watching is not None:
            self._watching.cancel()
        self._let_all_go()

    def reset(self) -> None:
        """Hold messages again where they must wait: the consumer starts once more after ``release``."""
        if not self._stopping:
            return
        self._stopping = self.open = False
        self._failures.clear()
        if self._away is not None:
            PAUSED.labels(self._away.name).set(0)
            self._away = None

    def _fails_for_all(self, dependency: Dependency) -> bool:
        return len(self._failures.get(dependency.name, ())) >= FAILURES_TO_OPEN

    def _open(self, dependency: Dependency) -> None:
        if self._away is not None or self._stopping:
            return
        self._away = dependency
        self.open = True
        PAUSED.labels(dependency.name).set(1)
        OUTAGES.labels(dependency.name).inc()
        log.error(
            "consuming is paused: a server that every message needs is away", dependency=dependency.name
        )
        self._watching = asyncio.create_task(self._watch(dependency), name=f"probe-{dependency.name}")

    async def _watch(self, dependency: Dependency) -> None:
        pause_s = FIRST_PAUSE_S
        began = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(pause_s)
            if await self._ping(dependency) and await self._one_gets_through(dependency):
                break
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._away = None
        self.open = False
        PAUSED.labels(dependency.name).set(0)
        seconds = round(asyncio.get_running_loop().time() - began, 1)
        log.info("consuming goes on", dependency=dependency.name, paused_s=seconds)
        self._let_all_go()

    async def _one_gets_through(self, dependency: Dependency) -> bool:
        """Let messages try, one after the other, until one shows how the server is; needless after an outage
        that the ping saw.
        """
        while self._fails_for_all(dependency):
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            probe = HalfOpenProbe()
            self._waiting.popleft().set_result(probe)
            well = await probe.outcome
            if well is not None:
                return well
        return True

    def _let_all_go(self) -> None:
        while self._waiting:
            self._waiting.popleft().set_result(None)

    async def _ping_once(self, dependency: Dependency) -> bool:
        """Share one probe among all who ask at the same time: a window full of failures is one probe."""
        ping = self._pings.get(dependency.name)
        if ping is None:
            ping = self._pings[dependency.name] = asyncio.create_task(self._ping(dependency))
            ping.add_done_callback(lambda _: self._pings.pop(dependency.name, None))
        return await asyncio.shield(ping)

    async def _ping(self, dependency: Dependency) -> bool:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PING_TIMEOUT_S):
                return await dependency.ping()
        return False
