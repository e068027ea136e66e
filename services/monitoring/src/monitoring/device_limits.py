"""What one device may do to the others by sending much: its rate, its dead letters, its log lines."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import structlog

from monitoring.telemetry import Parsed
from monitoring.token_buckets import Rates

HONOURED_S = 60.0
"""A code that was taken from a device above its rate is not taken again before this."""

REMEMBERED = 20_000

log = structlog.get_logger(__name__)


class Traffic:
    """Counts for each device. Each replica counts for itself."""

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        dead_letters_h: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take samples a second, samples at once, and dead letters an hour."""
        self._clock = clock
        self._samples = Rates(per_second=rate, burst=burst)
        self._letters = Rates(per_second=dead_letters_h / 3600, burst=dead_letters_h)
        self._codes = Rates(per_second=1, burst=20)
        self._lines = Rates(per_second=1 / 60, burst=1)
        self._honoured: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait(self, device: str) -> float:
        """Seconds until the device is within its rate again; zero if it is."""
        return self._samples.wait(device, self._clock())

    def spend(self, device: str, samples: int) -> None:
        """Count what a device sent."""
        self._samples.spend(device, samples, self._clock())

    def essence(self, device: str, parsed: Parsed) -> Parsed:
        """Return what is taken of a message above the rate: fault codes, each once in a while."""
        if self.says(device):
            log.warning("a device sends more than its rate", equipment_id=device)
        looks = [
            look
            for look in parsed.looks
            if look.sample.fault_code is not None and self._honours(device, look.sample.fault_code)
        ]
        return replace(parsed, looks=looks, refused=[], problems=[])

    def _honours(self, device: str, code: str) -> bool:
        now = self._clock()
        if now - self._honoured.get((device, code), -HONOURED_S) < HONOURED_S:
            return False
        if self._codes.wait(device, now) > 0:
            return False
        self._codes.spend(device, 1, now)
        self._honoured[device, code] = now
        self._honoured.move_to_end((device, code))
        if len(self._honoured) > REMEMBERED:
            self._honoured.popitem(last=False)
        return True

    def may_bury(self, device: str) -> bool:
        """Whether another message of the device may become a dead letter."""
        return self._once(self._letters, device, "a device's further dead letters are dropped")

    def says(self, device: str) -> bool:
        """Whether another line about the device belongs into the log."""
        return self._once(self._lines, device, None)

    def _once(self, rates: Rates, device: str, else_say: str | None) -> bool:
        now = self._clock()
        if rates.wait(device, now) > 0:
            if else_say is not None and self.says(device):
                log.warning(else_say, equipment_id=device)
            return False
        rates.spend(device, 1, now)
        return True
