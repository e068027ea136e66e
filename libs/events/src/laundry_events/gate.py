"""Holds messages while a server that all of them need is away, instead of sending each up the ladder.

The usual circuit breakers (purgatory, aiobreaker, pybreaker) answer a call with an error of their own while
the circuit is open. A consumer needs the opposite: to keep what it has in hand, take nothing more, and go on
with the very same messages. Holding does both, since the broker sends no more than the prefetch.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PROBE_TIMEOUT_S = 5.0

PAUSED = Gauge("laundry_consumer_paused", "1 while messages are held since a server is away", ["dependency"])
OUTAGES = Counter("laundry_consumer_outages", "How often messages had to be held", ["dependency"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Need:
    """A server without which no message of a consumer can be handled.

    Attributes:
        name: what people call it, e.g. ``s3``.
        blames: whether an error of a handler may mean that the server is away.
        probe: asks the server; raises or returns false while it is away.
    """

    name: str
    blames: Callable[[BaseException], bool]
    probe: Callable[[], Awaitable[bool]]


class Released(Exception):
    """The consumer stops; what it held goes back to the queue."""


class Gate:
    """Open while all needs are well. One for all queues of a consumer."""

    def __init__(self, needs: Sequence[Need]) -> None:
        """Take what the consumer's handlers need; nothing is asked until a handler fails."""
        self._needs = tuple(needs)
        self._open = asyncio.Event()
        self._open.set()
        self._released = False
        self._away: Need | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asking: dict[str, asyncio.Task[bool]] = {}
        for need in self._needs:
            PAUSED.labels(need.name).set(0)

    @property
    def away(self) -> str | None:
        """Name of the server that is waited for, if any."""
        return self._away.name if self._away is not None else None

    async def passes(self, *, within_s: float) -> None:
        """Wait until the gate is open.

        Raises:
            Released: the consumer stops.
            TimeoutError: it stayed shut for ``within_s`` seconds.
        """
        if not self._open.is_set():
            async with asyncio.timeout(within_s):
                await self._open.wait()
        if self._released:
            raise Released

    async def shuts_for(self, error: BaseException) -> bool:
        """Whether an error comes from a server's being away; then the gate is shut until a probe succeeds."""
        for need in self._needs:
            if not need.blames(error):
                continue
            if self._away is need:
                return True
            if not await self._ask_once(need):
                self._shut(need)
                return True
        return False

    def release(self) -> None:
        """Let everything go that is held, since the consumer stops."""
        self._released = True
        if self._watching is not None:
            self._watching.cancel()
        self._open.set()

    def hold_again(self) -> None:
        """Hold messages again where they must wait: the consumer starts anew after ``release``."""
        if not self._released:
            return
        self._released = False
        if self._away is not None:
            PAUSED.labels(self._away.name).set(0)
            self._away = None

    def _shut(self, need: Need) -> None:
        if self._away is not None or self._released:
            return
        self._away = need
        self._open.clear()
        PAUSED.labels(need.name).set(1)
        OUTAGES.labels(need.name).inc()
        log.error("consuming is paused: a server that every message needs is away", dependency=need.name)
        self._watching = asyncio.create_task(self._watch(need), name=f"probe-{need.name}")

    async def _watch(self, need: Need) -> None:
        pause_s = FIRST_PAUSE_S
        began = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(pause_s)
            if await self._ask(need):
                break
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._away = None
        PAUSED.labels(need.name).set(0)
        seconds = round(asyncio.get_running_loop().time() - began, 1)
        log.info("consuming goes on", dependency=need.name, paused_s=seconds)
        self._open.set()

    async def _ask_once(self, need: Need) -> bool:
        """Ask together with all others that ask just now: a window full of failures is one question."""
        asking = self._asking.get(need.name)
        if asking is None:
            asking = self._asking[need.name] = asyncio.create_task(self._ask(need))
            asking.add_done_callback(lambda _: self._asking.pop(need.name, None))
        return await asyncio.shield(asking)

    async def _ask(self, need: Need) -> bool:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await need.probe()
        return False
