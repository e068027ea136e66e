"""Tells an outage of a push service from phones that do not answer, and probes until it is over.

A phone over its quota may get 429 indefinitely, which says nothing of the others. Only several phones, of
several owners in several branches, with no answer in between, mean that their push service is down; what goes
through another one is not held back.
"""

from collections.abc import Callable, Mapping

import structlog

from laundry_events.circuit_breaker import OUTAGES, PAUSED
from notification.push import FCM
from notification.push_scheduling import Capacity

OWNERS = 3
BRANCHES = 2
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
LONGEST_ASKED_S = 60.0
FIRST_TRIES_IN_OUTAGE = 4

log = structlog.get_logger(__name__)


class PushOutage:
    """A circuit breaker that remembers who has failed since anybody was answered.

    While a service is away one retry at a time probes it, with pauses up to 5 s, each of another phone. First
    tries go on, a few at a time: had only those phones failed, the next one would show it at once.
    """

    def __init__(self, service: str, clock: Callable[[], float]) -> None:
        """Measure pauses by ``clock``, which is monotonic and in seconds."""
        self._service = service
        self._clock = clock
        self._owners: set[str] = set()
        self._branches: set[str] = set()
        self._pause_s = FIRST_PAUSE_S
        self._next_probe = 0.0
        self.is_open = False

    def failed(self, owner: str, branch: str, retry_after_s: float | None = None) -> None:
        """Note that the service did not decide on a push, and how long it asks to be left alone."""
        self._owners.add(owner)
        self._branches.add(branch)
        if not self.is_open and len(self._owners) >= OWNERS and len(self._branches) >= BRANCHES:
            self.is_open = True
            self._pause_s = FIRST_PAUSE_S
            self._next_probe = self._clock() + self._pause_s
            PAUSED.labels(self._service).set(1)
            OUTAGES.labels(self._service).inc()
            if self._service == FCM:
                log.error(
                    "FCM takes nothing: faults wait, and ring when it is back", owners=len(self._owners)
                )
            else:
                log.error(
                    "a push service takes nothing: faults wait, and ring when it is back",
                    service=self._service,
                    owners=len(self._owners),
                )
        if self.is_open and retry_after_s is not None:
            asked = self._clock() + min(retry_after_s, LONGEST_ASKED_S)
            self._next_probe = max(self._next_probe, asked)

    def answered(self) -> bool:
        """Note that the service decided on a push; true if there was an outage until now."""
        self._owners.clear()
        self._branches.clear()
        was_open, self.is_open = self.is_open, False
        if was_open:
            PAUSED.labels(self._service).set(0)
            log.info(
                "FCM takes pushes again" if self._service == FCM else "a push service takes pushes again"
            )
        return was_open

    def limit(self, *, in_hand: int) -> Capacity:
        """Return how much more may be sent now while it is away.

        Args:
            in_hand: pushes that wait for their answer.
        """
        may_probe = not in_hand and self._clock() >= self._next_probe
        return Capacity(max(0, FIRST_TRIES_IN_OUTAGE - in_hand), 1 if may_probe else 0)

    def retry_begins(self) -> None:
        """Note that a retry begins; during an outage the next one comes after a pause."""
        if self.is_open:
            self._next_probe = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


class PushOutages:
    """One for each push service that fails: what happens at one says nothing of the others."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure pauses by ``clock``, which is monotonic and in seconds."""
        self._clock = clock
        self._of: dict[str, PushOutage] = {}
        PAUSED.labels(FCM).set(0)

    def failed(self, service: str, owner: str, branch: str, retry_after_s: float | None = None) -> None:
        """Note that a service did not decide on a push, and how long it asks to be left alone."""
        if service not in self._of:
            self._of[service] = PushOutage(service, self._clock)
        self._of[service].failed(owner, branch, retry_after_s)

    def answered(self, service: str) -> bool:
        """Note that a service decided on a push; true if there was an outage until now."""
        outage = self._of.pop(service, None)
        return outage is not None and outage.answered()

    def retry_begins(self, service: str) -> None:
        """Note that a retry begins."""
        if service in self._of:
            self._of[service].retry_begins()

    def held_back(self, in_hand: Mapping[str, int]) -> dict[str, Capacity]:
        """Return how much more may be sent through each service that is away.

        Args:
            in_hand: pushes that wait for their answer, by service.
        """
        return {
            service: outage.limit(in_hand=in_hand.get(service, 0))
            for service, outage in self._of.items()
            if outage.is_open
        }
