"""What a measured consumer took, and when it was done with each, whichever came first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from laundry_events import EventMeta
from laundry_events.events import PreferenceCreated


@dataclass
class Taken:
    """Events by the order in which they came.

    Attributes:
        number: after so many ends ``all_done`` is called, once.
        seen: id, attempt, when it was due and when it came, both in ns by the monotonic clock.
        ended: when each of ``seen`` ended, in ns; 0 for what has not, or has failed.
    """

    number: int
    all_done: Callable[[], None]
    seen: list[tuple[str, int, int, int]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    _done: int = 0

    def begin(self, found: PreferenceCreated, meta: EventMeta) -> int:
        """Note that an event came; returns its place."""
        self.seen.append((meta.id, meta.attempt, int(found.title), time.monotonic_ns()))
        self.ended.append(0)
        return len(self.ended) - 1

    def finish(self, places: Sequence[int]) -> None:
        """Note that these had their effect."""
        now = time.monotonic_ns()
        for place in places:
            self.ended[place] = now
        before, self._done = self._done, self._done + len(places)
        if before < self.number <= self._done:
            self.all_done()
