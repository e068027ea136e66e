"""The open loop: requests are sent when they are due, whatever becomes of those before.

Each request has four moments. It is *due* by the schedule, it *arrived* when the generator came to it, it was
*sent* when a connection was free, and it is *done*. Its latency counts from when it was due, so that a server
that stalls is charged for every request that came due in the meantime. Counted from when it was sent, as most
tools do, a request that waited for a connection looks as if it had been served at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Send = Callable[[int, float], Awaitable[str]]
"""Sends a request and returns its outcome, ``ok`` or what went wrong; raises nothing.

It is told the request's number and when that was due, by the monotonic clock.
"""

OK, DROPPED, UNANSWERED, NOT_SENT = "ok", "dropped", "unanswered", "not sent"
"""Outcomes: answered as it should be; too many were waiting; no answer when the run ended; not due before
the run was interrupted."""


@dataclass
class Requests:
    """All requests of a run in the order in which they were due; times in µs since its beginning.

    Attributes:
        sent_us, done_us: -1 if the request was not sent, or not answered.
        outcome: an index into ``outcomes``.
    """

    due_us: list[int] = field(default_factory=list)
    arrived_us: list[int] = field(default_factory=list)
    sent_us: list[int] = field(default_factory=list)
    done_us: list[int] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=lambda: [OK, DROPPED, UNANSWERED, NOT_SENT])

    @classmethod
    def scheduled(cls, due: Sequence[float]) -> Self:
        """Make the requests of a schedule, none of them sent."""
        number = len(due)
        return cls(
            due_us=[round(each * 1e6) for each in due],
            arrived_us=[-1] * number,
            sent_us=[-1] * number,
            done_us=[-1] * number,
            outcome=[3] * number,
        )

    def ends(self, number: int, outcome: str) -> None:
        """Note what became of a request."""
        if outcome not in self.outcomes:
            self.outcomes.append(outcome)
        self.outcome[number] = self.outcomes.index(outcome)

    def of(self, *outcomes: str) -> list[int]:
        """Return the numbers of the requests with one of these outcomes."""
        wanted = {self.outcomes.index(each) for each in outcomes if each in self.outcomes}
        return [number for number, each in enumerate(self.outcome) if each in wanted]

    @property
    def failed(self) -> list[int]:
        """The numbers of the requests that were sent and had no good answer."""
        return [number for number, each in enumerate(self.outcome) if self.outcomes[each] not in _NO_FAILURE]

    def document(self) -> dict[str, Any]:
        """Return them for JSON."""
        return asdict(self)


SHORT_S = 0.05
_NO_FAILURE = {OK, DROPPED, NOT_SENT}


@dataclass
class OpenLoop:
    """Sends requests on a schedule over a bounded number of connections.

    Attributes:
        at_once: most requests in flight; further ones wait.
        waiting: most requests that wait; further ones are dropped and counted.
        arrived: how many were due so far.
    """

    send: Send
    at_once: int = 64
    waiting: int = 10_000
    grace_s: float = 35.0
    arrived: int = field(default=0, init=False)

    async def run(
        self,
        due: Sequence[float],
        stop: asyncio.Event,
        *,
        began: float | None = None,
        requests: Requests | None = None,
    ) -> Requests:
        """Send until the schedule ends or ``stop`` is set; then wait up to ``grace_s`` for answers.

        Args:
            began: when the schedule begins, by the monotonic clock; None is now.
            requests: filled in as the run goes on, for callers that watch it.
        """
        found = Requests.scheduled(due) if requests is None else requests
        queue: asyncio.Queue[int | None] = asyncio.Queue()
        began = time.monotonic() if began is None else began

        def now_us() -> int:
            return round((time.monotonic() - began) * 1e6)

        async def lane() -> None:
            while (number := await queue.get()) is not None:
                found.sent_us[number] = now_us()
                found.ends(number, UNANSWERED)
                outcome = await self.send(number, began + due[number])
                found.done_us[number] = now_us()
                found.ends(number, outcome)

        lanes = [asyncio.create_task(lane()) for _ in range(min(self.at_once, len(due)))]
        for number, at in enumerate(due):
            await _until(began + at, stop)
            if stop.is_set():
                break
            found.arrived_us[number] = now_us()
            self.arrived = number + 1
            if queue.qsize() >= self.waiting:
                found.ends(number, DROPPED)
            else:
                found.ends(number, UNANSWERED)
                queue.put_nowait(number)
        if stop.is_set():
            # These were due but had no connection yet; an interrupted run does not wait for them.
            while not queue.empty():
                queue.get_nowait()
        for _ in lanes:
            queue.put_nowait(None)
        done, late = await asyncio.wait(lanes, timeout=self.grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            task.result()
        return found


async def _until(moment: float, stop: asyncio.Event) -> None:
    left = moment - time.monotonic()
    if left <= 0:
        # Overdue requests follow one another without a pause; the lanes still need a turn.
        await asyncio.sleep(0)
        return
    # For a short wait, setting up a future with a timeout takes longer than its precision is worth.
    if left >= SHORT_S:
        try:
            async with asyncio.timeout(left):
                await stop.wait()
                return
        except TimeoutError:
            pass
    # The loop's clock goes by milliseconds and wakes up to one too early: what is left is asked for again.
    while (left := moment - time.monotonic()) > 0:  # noqa: ASYNC110 - nothing but time passes
        await asyncio.sleep(left)
