"""One change of a thing at a time: fifty who ask for the same one do not take every connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from laundry_service.problems import Problem

WAIT_S = 10.0
IN_LINE = 100
RETRY_AFTER_S = 2


class OneAtATime:
    """Locks by key within this process; the database's own locks hold replicas apart."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._in_line: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Enter when it is this one's turn.

        Raises:
            Problem: 503, there are too many before, or it took too long.
        """
        if self._in_line.get(key, 0) >= IN_LINE:
            raise _busy()
        self._in_line[key] = self._in_line.get(key, 0) + 1
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            try:
                async with asyncio.timeout(WAIT_S):
                    await lock.acquire()
            except TimeoutError:
                raise _busy() from None
            try:
                yield
            finally:
                lock.release()
        finally:
            self._in_line[key] -= 1
            if not self._in_line[key]:
                del self._in_line[key], self._locks[key]


def _busy() -> Problem:
    return Problem(
        503,
        "busy",
        "Earlier requests for the same device or person are still being worked on. Send this one again soon.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
