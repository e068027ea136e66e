"""Holds messages while a server that all of them need is away, instead of sending each up the ladder.

The usual circuit breakers (purgatory, aiobreaker, pybreaker) answer a call with an error of their own while
the circuit is open. A consumer needs the opposite: to keep what it has in hand, take nothing more, and go on
with the very same messages. Holding does both, since the broker sends no more than the prefetch.

A probe asks less than a handler does (a bucket that is there may refuse every object), so the gate also shuts
when several messages in a row fail for the same server, whatever the probe says. Then one message at a time
is let through as a trial.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Gauge

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PROBE_TIMEOUT_S = 5.0
FAILURES_TO_OPEN = 5

PAUSED = Gauge("laundry_consumer_paused", "1 while messages are held since a server is away", ["dependency"])
OUTAGES = Counter("laundry_consumer_outages", "How often messages had to be held", ["dependency"])

log = structlog.get_logger(__name__)


async def cannot_be_asked() -> bool:
    """Probe a server that has no cheap question: only a message tells whether it is well."""
    return True


@dataclass(frozen=True)
class Dependency:
    """A server without which no message of a consumer can be handled.

    Attributes:
        name: what people call it, e.g. ``s3``.
        blames: whether an error of a handler may mean that the server is away.
        probe: asks the server; raises or returns false while it is away.
        enough: so many different messages in a row that fail for it shut the gate though the probe succeeds.
        parts: what an error counts as, where one message asks several things of the server; else one.
        answers: how often the server has answered; for a server that a handler may do without, so that such
            a handler's success says nothing of it.
    """

    name: str
    blames: Callable[[BaseException], bool]
    probe: Callable[[], Awaitable[bool]] = cannot_be_asked
    enough: int = FAILURES_TO_OPEN
    parts: Callable[[BaseException], Iterable[str]] | None = None
    answers: Callable[[], int] | None = None


class HoldEnded(Exception):
    """The consumer stops, or a message was held for long enough; what it held goes back to the queue."""


class HalfOpenProbe:
    """One message that is let through a shut gate to see whether the server is well."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

    def end(self, well: bool | None = None) -> None:
        """Say what it showed; ``None`` for nothing. The first word counts."""
        if not self.outcome.done():
            self.outcome.set_result(well)


@dataclass
class _Failures:
    """Failures in a row, and how often the server had answered before them."""

    answered: int
    of: set[str] = field(default_factory=set)


class CircuitBreaker:
    """Open while all needs are well. One for all queues of a consumer.

    Attributes:
        shut: whether ``passes`` must be waited for.
        troubled: whether a success should be told with ``went_well``.
    """

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        """Take what the consumer's handlers need; nothing is asked until a handler fails."""
        self._dependencies = tuple(dependencies)
        self.shut = False
        self.troubled = False
        self._released = False
        self._away: Dependency | None = None
        self._failures: dict[str, _Failures] = {}
        self._line: deque[asyncio.Future[HalfOpenProbe | None]] = deque()
        self._somebody = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._asking: dict[str, asyncio.Task[bool]] = {}
        for need in self._dependencies:
            PAUSED.labels(need.name).set(0)

    @property
    def away(self) -> str | None:
        """Name of the server that is waited for, if any."""
        return self._away.name if self._away is not None else None

    async def passes(self, *, within_s: float) -> HalfOpenProbe | None:
        """Wait until the gate is open, or until it is this message's turn to be the trial.

        Returns:
            the trial, whose end the caller must tell.

        Raises:
            HoldEnded: the consumer stops, or the gate stayed shut for ``within_s`` seconds.
        """
        trial: HalfOpenProbe | None = None
        if self.shut and not self._released:
            trial = await self._in_line(within_s)
        if self._released:
            raise HoldEnded
        return trial

    async def _in_line(self, within_s: float) -> HalfOpenProbe | None:
        place: asyncio.Future[HalfOpenProbe | None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._somebody.set()
        try:
            await asyncio.wait([place], timeout=within_s)
        except asyncio.CancelledError:
            if place.done() and (trial := place.result()) is not None:
                trial.end()
            raise
        finally:
            if not place.done():
                self._line.remove(place)
        if not place.done():
            raise HoldEnded
        return place.result()

    async def shuts_for(self, error: BaseException, *, message: str = "") -> bool:
        """Whether an error comes from a server's being away; then the message must wait at the gate.

        Args:
            message: names the message, so that one that fails again and again is no outage.
        """
        for need in self._dependencies:
            if not need.blames(error):
                continue
            if self._away is need:
                return True
            if not await self._ask_once(need):
                self._shut(need)
                return True
            if self._fails_for_all(need, error, message):
                self._shut(need)
                return True
        return False

    def went_well(self, trial: HalfOpenProbe | None = None) -> None:
        """Hear that a handler succeeded: who was blamed is well again, if the handler needed it."""
        for need in self._dependencies:
            failures = self._failures.get(need.name)
            if failures is not None and (need.answers is None or need.answers() > failures.answered):
                del self._failures[need.name]
        self.troubled = bool(self._failures)
        self._somebody.set()
        if trial is not None:
            trial.end(True if self.away not in self._failures else None)

    def release(self) -> None:
        """Let everything go that is held, since the consumer stops."""
        self._released = self.shut = True
        if self._watching is not None:
            self._watching.cancel()
        self._let_go()

    def hold_again(self) -> None:
        """Hold messages again where they must wait: the consumer starts anew after ``release``."""
        if not self._released:
            return
        self._released = self.shut = self.troubled = False
        self._failures.clear()
        if self._away is not None:
            PAUSED.labels(self._away.name).set(0)
            self._away = None

    def _fails_for_all(self, need: Dependency, error: BaseException, message: str) -> bool:
        answered = need.answers() if need.answers is not None else 0
        failures = self._failures.get(need.name)
        if failures is None or failures.answered != answered:
            failures = self._failures[need.name] = _Failures(answered)
        failures.of.update(need.parts(error) if need.parts is not None else (message,))
        self.troubled = True
        return self._fails_in_a_row(need)

    def _fails_in_a_row(self, need: Dependency) -> bool:
        failures = self._failures.get(need.name)
        return failures is not None and len(failures.of) >= need.enough

    def _shut(self, need: Dependency) -> None:
        if self._away is not None or self._released:
            return
        self._away = need
        self.shut = True
        PAUSED.labels(need.name).set(1)
        OUTAGES.labels(need.name).inc()
        log.error("consuming is paused: a server that every message needs is away", dependency=need.name)
        self._watching = asyncio.create_task(self._watch(need), name=f"probe-{need.name}")

    async def _watch(self, need: Dependency) -> None:
        pause_s = FIRST_PAUSE_S
        began = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(pause_s)
            if await self._ask(need) and await self._one_gets_through(need):
                break
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._away = None
        self.shut = False
        PAUSED.labels(need.name).set(0)
        seconds = round(asyncio.get_running_loop().time() - began, 1)
        log.info("consuming goes on", dependency=need.name, paused_s=seconds)
        self._let_go()

    async def _one_gets_through(self, need: Dependency) -> bool:
        """Let messages try, one after the other, until one shows how the server is; needless after an outage
        that the probe saw.
        """
        while self._fails_in_a_row(need):
            if not self._line:
                self._somebody.clear()
                await self._somebody.wait()
                continue
            trial = HalfOpenProbe()
            self._line.popleft().set_result(trial)
            well = await trial.outcome
            if well is not None:
                return well
        return True

    def _let_go(self) -> None:
        while self._line:
            self._line.popleft().set_result(None)

    async def _ask_once(self, need: Dependency) -> bool:
        """Ask together with all others that ask just now: a window full of failures is one question."""
        asking = self._asking.get(need.name)
        if asking is None:
            asking = self._asking[need.name] = asyncio.create_task(self._ask(need))
            asking.add_done_callback(lambda _: self._asking.pop(need.name, None))
        return await asyncio.shield(asking)

    async def _ask(self, need: Dependency) -> bool:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await need.probe()
        return False
