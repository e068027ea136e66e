"""What one device may cost the others: its rate of samples, its dead letters, its log lines."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import structlog

from monitoring.telemetry import ParsedTelemetry
from monitoring.token_buckets import TokenBuckets

CODE_ACCEPTED_FOR_S = 60.0
"""A code that was taken from a device above its rate is not taken again before this."""

MAX_ACCEPTED_CODES = 20_000

log = structlog.get_logger(__name__)


class DeviceKey(NamedTuple):
    """Whom a count is of: a device is known by its name within its branches, as two may use one name.

    Attributes:
        branches: those that its token names; ``None`` if it has none of its own.
    """

    name: str
    branches: frozenset[str] | None


class DeviceLimits:
    """Counts for each device. Each replica counts for itself."""

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        dead_letters_h: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow ``rate`` samples a second, ``burst`` at once, and ``dead_letters_h`` dead letters an hour."""
        self._clock = clock
        self._samples = TokenBuckets(per_second=rate, burst=burst)
        self._dead_letters = TokenBuckets(per_second=dead_letters_h / 3600, burst=dead_letters_h)
        self._codes = TokenBuckets(per_second=1, burst=20)
        self._log_lines = TokenBuckets(per_second=1 / 60, burst=1)
        self._accepted: OrderedDict[tuple[DeviceKey, str], float] = OrderedDict()

    def wait_s(self, device: DeviceKey) -> float:
        """Seconds until the device is within its rate again; zero if it is."""
        return self._samples.wait_s(device, self._clock())

    def spend(self, device: DeviceKey, samples: int) -> None:
        """Count what a device sent."""
        self._samples.spend(device, samples, self._clock())

    def fault_codes_only(self, device: DeviceKey, parsed: ParsedTelemetry) -> ParsedTelemetry:
        """Return what is taken of a message above the rate: fault codes, each at most once a minute.

        Whoever cannot store them says so (``codes_not_stored``): they are then taken when they come again.
        """
        if self.may_log(device):
            log.warning("a device sends more than its rate", equipment_id=device.name)
        samples = [
            each
            for each in parsed.samples
            if each.sample.fault_code is not None and self._accepts_code(device, each.sample.fault_code)
        ]
        return replace(parsed, samples=samples, refused=[], problems=[])

    def _accepts_code(self, device: DeviceKey, code: str) -> bool:
        now = self._clock()
        if now - self._accepted.get((device, code), -CODE_ACCEPTED_FOR_S) < CODE_ACCEPTED_FOR_S:
            return False
        if not _take_one(self._codes, device, now):
            return False
        self._accepted[device, code] = now
        self._accepted.move_to_end((device, code))
        if len(self._accepted) > MAX_ACCEPTED_CODES:
            self._accepted.popitem(last=False)
        return True

    def codes_not_stored(self, device: DeviceKey, codes: Iterable[str]) -> None:
        """Forget that these codes were taken."""
        for code in codes:
            if self._accepted.pop((device, code), None) is not None:
                self._codes.spend(device, -1, self._clock())

    def may_dead_letter(self, device: DeviceKey) -> bool:
        """Whether another message of the device may become a dead letter."""
        if _take_one(self._dead_letters, device, self._clock()):
            return True
        if self.may_log(device):
            log.warning("a device's further dead letters are dropped", equipment_id=device.name)
        return False

    def may_log(self, device: DeviceKey) -> bool:
        """Whether another line about the device belongs in the log."""
        return _take_one(self._log_lines, device, self._clock())


def _take_one(buckets: TokenBuckets, device: DeviceKey, now: float) -> bool:
    if buckets.wait_s(device, now) > 0:
        return False
    buckets.spend(device, 1, now)
    return True
