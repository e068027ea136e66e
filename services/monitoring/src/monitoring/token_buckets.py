"""How much one device may send: a token bucket for each. Pure rules, with what they remember of the devices.

A device that sends more than its rate spends what it has saved up; a request may overdraw the bucket once, so
that a full batch is always possible. Each replica counts for itself.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MAX_BUCKETS = 20_000


@dataclass
class Bucket:
    """What one device has left, as of when."""

    left: float
    as_of: float


class TokenBuckets:
    """The buckets of all devices. A device that has been silent for long has a full one."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        """Refill each bucket by ``per_second``, up to ``burst``."""
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def wait_s(self, device: Hashable, now: float) -> float:
        """Seconds until the device may send; zero if it may now. ``now`` is of a monotonic clock."""
        left = self._left(device, now)
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def spend(self, device: Hashable, amount: float, now: float) -> None:
        """Take what was sent from the bucket; no device owes more than a bucket holds."""
        self._buckets[device] = Bucket(max(-self._burst, self._left(device, now) - amount), now)
        self._buckets.move_to_end(device)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)

    def _left(self, device: Hashable, now: float) -> float:
        known = self._buckets.get(device)
        if known is None:
            return self._burst
        return min(self._burst, known.left + (now - known.as_of) * self._per_second)
