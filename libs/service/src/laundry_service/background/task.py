"""A supervised loop in the background: wake, take a turn, wait."""

import asyncio
import contextlib
import contextvars
import math
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Gauge

from laundry_service.storage.outages import is_contention, is_outage

FAILURES = Gauge(
    "laundry_background_failures_in_a_row",
    "Turns of a background task that failed since one succeeded",
    ["task"],
)

log = structlog.get_logger(__name__)

# What a turn raises while a server that it needs is down.
OUTAGES: tuple[type[Exception], ...] = (OSError, TimeoutError)

# Several may have one name, as the followers of several deny lists: one that works must not hide another.
_started: dict[str, set["BackgroundTask"]] = {}


class BackgroundTask:
    """Takes one turn after another until it is stopped, whatever a turn raises.

    A loop that ended at its first error would silently leave all later work undone. An expected error, and
    any outage of the database, is logged as a warning, any other with its traceback; the next turn follows
    after ``retry_s``. ``FAILURES`` tells how many failed in a row.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Awaitable[float | None]],
        *,
        every_s: float,
        retry_s: float | None = None,
        at_once: bool = True,
        expected: tuple[type[Exception], ...] = OUTAGES,
        waiting: str | None = "a background task waits for a server",
        failed: str = "a background task failed",
        finish_within_s: float | None = 0,
    ) -> None:
        """Describe the loop; ``start`` runs it.

        Args:
            turn: one round of work; returns the seconds until the next turn, None for ``every_s``.
            every_s: the pause between turns; ``math.inf`` waits for ``wake``.
            retry_s: the pause after a turn that failed; ``every_s`` if not given.
            at_once: whether the first turn is at the start, or after one pause.
            expected: errors of servers that are down, beside the database's.
            waiting: the log event of an expected error; None where it is logged elsewhere.
            failed: the log event of any other error.
            finish_within_s: how long ``stop`` waits for the current turn before it cancels it; None: for as
                long as it takes.
        """
        self._name = name
        self._turn = turn
        self._every_s = every_s
        self._retry_s = every_s if retry_s is None else retry_s
        self._at_once = at_once
        self._expected = expected
        self._waiting = waiting
        self._failed = failed
        self._finish_within_s = finish_within_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: a long turn may end early."""
        return self._stopping

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._task is not None

    async def start(self) -> None:
        """Begin in the background."""
        self._stopping = False
        self._failures = 0
        self._tell()
        # In a context of its own: background work belongs to no request's trace.
        self._task = asyncio.create_task(self._run(), name=self._name, context=contextvars.Context())

    async def stop(self) -> None:
        """Take no more turns; the current one ends within ``finish_within_s``."""
        task, self._task = self._task, None
        self._stopping = True
        self._wake.set()
        if task is None:
            return
        self._tell_no_more()
        if self._finish_within_s != 0:
            await asyncio.wait({task}, timeout=self._finish_within_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def wake(self) -> None:
        """Take the next turn now, or right after the current one."""
        self._wake.set()

    async def _run(self) -> None:
        if not self._at_once:
            await self._pause(self._every_s)
        while not self._stopping:
            self._wake.clear()
            pause_s = await self._supervised()
            if pause_s > 0 and not self._stopping:
                await self._pause(pause_s)

    async def _supervised(self) -> float:
        try:
            pause_s = await self._turn()
        except (Exception, asyncio.CancelledError) as error:
            reraise_own_cancellation()
            self._failures += 1
            if not self._is_away(error):
                log.exception(self._failed, task=self._name)
            elif self._waiting is not None:
                log.warning(self._waiting, task=self._name, error=f"{type(error).__name__}: {error}"[:300])
            return self._retry_s
        self._failures = 0
        return self._every_s if pause_s is None else pause_s

    def _is_away(self, error: BaseException) -> bool:
        """Whether an error tells of a server, and not of a mistake here."""
        if isinstance(error, self._expected):
            return True
        return any(is_outage(each) or is_contention(each) for each in (error, error.__cause__) if each)

    def _tell(self) -> None:
        alike = _started.setdefault(self._name, set())
        alike.add(self)
        FAILURES.labels(self._name).set_function(lambda: max((each._failures for each in alike), default=0))

    def _tell_no_more(self) -> None:
        alike = _started.get(self._name, set())
        alike.discard(self)
        if not alike and _started.pop(self._name, None) is not None:
            FAILURES.remove(self._name)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._wake.wait()


def reraise_own_cancellation() -> None:
    """Re-raise a cancellation that was requested of this task.

    The AMQP library also throws CancelledError into whatever waits on a connection that closes; that is an
    ordinary failure.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
