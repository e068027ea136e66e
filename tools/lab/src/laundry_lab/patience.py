"""How long something is waited for that comes nearer all the while."""

import math
import time


class Patience:
    """Lasts as long as what is left becomes less, and ``still_s`` after it last did."""

    def __init__(self, still_s: float) -> None:
        """Begin with the first look."""
        self._still_s = still_s
        self._least = math.inf
        self._until: float | None = None

    def lasts(self, left: float) -> bool:
        """Whether to go on waiting, with so much left now."""
        now = time.monotonic()
        if self._until is None or left < self._least:
            self._least, self._until = left, now + self._still_s
        return now < self._until
