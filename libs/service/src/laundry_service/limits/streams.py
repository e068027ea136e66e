"""Limits on open streams: in total, and per person, branch or address."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from laundry_service.http.problems import Problem

RETRY_AFTER_S = 30

OPEN = Gauge("laundry_streams_open", "Event streams that are open")
REFUSED = Metric("laundry_streams_refused", "Event streams beyond a limit", ["limit"])


_WORDS = {
    "person": "You have as many live pages open as one person may. Close one, or poll the list.",
    "branch": "The branch has as many live pages open as one branch may. Poll the list.",
    "address": "Your address has as many live pages open as one may. Poll the list.",
    "process": "As many live pages are open as this service carries. Poll the list.",
}


class TooManyStreams(Exception):
    """A limit is reached; ``limit`` is its name."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def problem(self) -> Problem:
        """Return the 429 for the caller."""
        return Problem(
            429,
            "too-many-streams",
            _WORDS[self.limit],
            headers={"Retry-After": str(RETRY_AFTER_S)},
            limit=self.limit,
        )


class StreamLimiter:
    """Counts what is open against limits by name: ``StreamLimiter({"person": 6, "process": 3000})``."""

    def __init__(self, at_most: Mapping[str, int]) -> None:
        """Take each limit's name and how many of one holder may be open."""
        self._at_most = dict(at_most)
        self._taken: Counter[tuple[str, str]] = Counter()

    @contextlib.contextmanager
    def slot(self, holders: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Hold a slot for the length of the block.

        Args:
            holders: under which limits it counts, and for whom: ``("person", "kim")``.

        Raises:
            TooManyStreams: one of them has as many as it may.
        """
        holders = list(holders)
        for limit, who in holders:
            if self._taken[limit, who] >= self._at_most[limit]:
                REFUSED.labels(limit).inc()
                raise TooManyStreams(limit)
        self._taken.update(holders)
        OPEN.inc()
        try:
            yield
        finally:
            OPEN.dec()
            for holder in holders:
                self._taken[holder] -= 1
                if self._taken[holder] <= 0:
                    del self._taken[holder]
