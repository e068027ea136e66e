"""What a consumer has in flight, for how long, and whether it can settle it: for metrics and readiness."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

STUCK_S = 120.0
"""After this long the consumer reports not ready: if its whole window is in flight, so that it takes nothing
more (one message that waits for a locked row is no such case), or if failed messages still cannot move on.
"""

OVER_S = 30.0
"""A failure to settle that did not recur for this long is over: another consumer has the message."""

OLDEST = Gauge(
    "laundry_consumer_oldest_unacked_seconds",
    "Age of the oldest message in flight: handled, held for a server or its turn, or returning",
    ["queue", "state"],
)
UNSETTLED = Counter(
    "laundry_events_unsettled", "Messages that failed and were not stored as usual", ["queue", "cause"]
)


@dataclass(eq=False)
class _Hand:
    """One message in flight."""

    since: float
    held: int = 0


@dataclass
class _Queue:
    window: int = 1
    hands: set[_Hand] = field(default_factory=set)
    unsettled_since: float | None = None
    unsettled_at: float = 0.0


_current: ContextVar[_Hand | None] = ContextVar("laundry_in_hand", default=None)


class InFlight:
    """One for all queues of a consumer."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def watch(self, queue: str, *, window: int) -> None:
        """Show a queue's gauges from now on; at most ``window`` of its messages are in flight at a time."""
        self._queues.setdefault(queue, _Queue()).window = window
        OLDEST.labels(queue, "handled").set_function(lambda: self.oldest_s(queue, held=False))
        OLDEST.labels(queue, "held").set_function(lambda: self.oldest_s(queue, held=True))
        OLDEST.labels(queue, "returning").set_function(lambda: self.returning_s(queue))
        for cause in ("dead-letters-full", "reformed"):
            # From 0 on, so that the first one is an increase.
            UNSETTLED.labels(queue, cause)

    @contextmanager
    def taken(self, queue: str) -> Iterator[None]:
        """Count a message as in flight until the block ends."""
        hands = self._queues.setdefault(queue, _Queue()).hands
        hand = _Hand(time.monotonic())
        hands.add(hand)
        token = _current.set(hand)
        try:
            yield
        finally:
            _current.reset(token)
            hands.discard(hand)

    def unsettled(self, queue: str) -> None:
        """Note that a failed message could not be moved, for a reason on the consumer's side."""
        found, now = self._queues.setdefault(queue, _Queue()), time.monotonic()
        if found.unsettled_since is None or now - found.unsettled_at > OVER_S:
            found.unsettled_since = now
        found.unsettled_at = now

    def settled(self, queue: str) -> None:
        """Note that a failed message was moved: nothing is blocked."""
        self._queues.setdefault(queue, _Queue()).unsettled_since = None

    def oldest_s(self, queue: str, *, held: bool) -> float:
        """Return the age in seconds of the oldest message in flight, 0 if there is none."""
        since = [hand.since for hand in self._queues[queue].hands if bool(hand.held) is held]
        return time.monotonic() - min(since) if since else 0.0

    def returning_s(self, queue: str) -> float:
        """Return for how many seconds failed messages have only been returned to their queue, 0 if none
        are."""
        found, now = self._queues[queue], time.monotonic()
        if found.unsettled_since is None or now - found.unsettled_at > OVER_S:
            return 0.0
        return now - found.unsettled_since

    @property
    def settles(self) -> bool:
        """Whether messages are being settled; held ones wait for a dependency and do not count."""
        return not any(self._stands(queue) for queue in self._queues)

    def _stands(self, queue: str) -> bool:
        found, before = self._queues[queue], time.monotonic() - STUCK_S
        stuck = sum(not hand.held and hand.since < before for hand in found.hands)
        return stuck >= found.window or self.returning_s(queue) > STUCK_S


@contextmanager
def held() -> Iterator[None]:
    """Mark the current message as held until the block ends."""
    hand = _current.get()
    if hand is not None:
        hand.held += 1
    try:
        yield
    finally:
        if hand is not None:
            hand.held -= 1
