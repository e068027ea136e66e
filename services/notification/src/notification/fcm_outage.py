"""Whether FCM as a whole is away, or only this phone or that.

A phone over its quota is answered 429 for as long as it likes and says nothing of the others. Only several
phones, of several owners in several branches, without any answer in between, say that nobody is served.
"""

from collections.abc import Callable

import structlog

from laundry_events.gate import OUTAGES, PAUSED

OWNERS = 3
BRANCHES = 2
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
FIRST_TRIES_AWAY = 4
NAME = "fcm"

log = structlog.get_logger(__name__)


class Outage:
    """Remembers who has failed since anybody was answered.

    While FCM is away one retry at a time is made, with pauses up to 5 s, each of another phone. First tries
    go on, a few at a time: were it only those phones, the next one would show it at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a clock that never goes back, in seconds."""
        self._clock = clock
        self._owners: set[str] = set()
        self._branches: set[str] = set()
        self._pause_s = FIRST_PAUSE_S
        self._next_trial = 0.0
        self.away = False
        PAUSED.labels(NAME).set(0)

    def failed(self, owner: str, branch: str) -> None:
        """Hear that a push was not decided on."""
        self._owners.add(owner)
        self._branches.add(branch)
        if self.away:
            return
        if len(self._owners) >= OWNERS and len(self._branches) >= BRANCHES:
            self.away = True
            self._pause_s = FIRST_PAUSE_S
            self._next_trial = self._clock() + self._pause_s
            PAUSED.labels(NAME).set(1)
            OUTAGES.labels(NAME).inc()
            log.error("FCM takes nothing: faults wait, and ring when it is back", owners=len(self._owners))

    def answered(self) -> bool:
        """Hear that FCM decided on a push; true if it was away until now."""
        self._owners.clear()
        self._branches.clear()
        was_away, self.away = self.away, False
        if was_away:
            PAUSED.labels(NAME).set(0)
            log.info("FCM takes pushes again")
        return was_away

    def room(self, *, first_tries: int, retries: int, in_hand: int) -> tuple[int, int]:
        """Say how many first tries and retries may be begun, of those that there is room for.

        Args:
            in_hand: pushes that wait for their answer.
        """
        if not self.away:
            return first_tries, retries
        first = max(0, min(first_tries, FIRST_TRIES_AWAY - in_hand))
        if in_hand or self._clock() < self._next_trial:
            return first, 0
        return first, min(1, retries)

    def tries(self) -> None:
        """Hear that a retry begins; while FCM is away, the next one comes after a pause."""
        if self.away:
            self._next_trial = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
