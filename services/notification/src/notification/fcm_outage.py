"""Tells an outage of FCM from phones that do not answer, and probes until it is over.

A phone over its quota may get 429 indefinitely, which says nothing of the others. Only several phones, of
several owners in several branches, with no answer in between, mean that FCM is down.
"""

from collections.abc import Callable

import structlog

from laundry_events.circuit_breaker import OUTAGES, PAUSED
from notification.push_scheduling import Capacity

OWNERS = 3
BRANCHES = 2
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
FIRST_TRIES_IN_OUTAGE = 4
NAME = "fcm"

log = structlog.get_logger(__name__)


class FcmOutage:
    """A circuit breaker that remembers who has failed since anybody was answered.

    While FCM is away one retry at a time probes it, with pauses up to 5 s, each of another phone. First tries
    go on, a few at a time: had only those phones failed, the next one would show it at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure pauses by ``clock``, which is monotonic and in seconds."""
        self._clock = clock
        self._owners: set[str] = set()
        self._branches: set[str] = set()
        self._pause_s = FIRST_PAUSE_S
        self._next_probe = 0.0
        self.is_open = False
        PAUSED.labels(NAME).set(0)

    def failed(self, owner: str, branch: str) -> None:
        """Note that FCM did not decide on a push."""
        self._owners.add(owner)
        self._branches.add(branch)
        if self.is_open:
            return
        if len(self._owners) >= OWNERS and len(self._branches) >= BRANCHES:
            self.is_open = True
            self._pause_s = FIRST_PAUSE_S
            self._next_probe = self._clock() + self._pause_s
            PAUSED.labels(NAME).set(1)
            OUTAGES.labels(NAME).inc()
            log.error("FCM takes nothing: faults wait, and ring when it is back", owners=len(self._owners))

    def answered(self) -> bool:
        """Note that FCM decided on a push; true if there was an outage until now."""
        self._owners.clear()
        self._branches.clear()
        was_open, self.is_open = self.is_open, False
        if was_open:
            PAUSED.labels(NAME).set(0)
            log.info("FCM takes pushes again")
        return was_open

    def limit(self, capacity: Capacity, *, in_hand: int) -> Capacity:
        """Return how much of the capacity may be used now.

        Args:
            in_hand: pushes that wait for their answer.
        """
        if not self.is_open:
            return capacity
        first_tries = max(0, min(capacity.first_tries, FIRST_TRIES_IN_OUTAGE - in_hand))
        may_probe = not in_hand and self._clock() >= self._next_probe
        return Capacity(first_tries, min(1, capacity.retries) if may_probe else 0)

    def retry_begins(self) -> None:
        """Note that a retry begins; during an outage the next one comes after a pause."""
        if self.is_open:
            self._next_probe = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
