"""One change of a resource at a time: fifty requests for the same one do not use up the database pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from laundry_service.http.problems import Problem

WAIT_S = 10.0
MAX_WAITING = 100
RETRY_AFTER_S = 2


class KeyedLocks:
    """Locks by key within this process; the database's own locks serialise replicas."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait for the lock of a key and hold it.

        Raises:
            Problem: 503, too many are waiting, or it took too long.
        """
        if self._waiting.get(key, 0) >= MAX_WAITING:
            raise _busy()
        self._waiting[key] = self._waiting.get(key, 0) + 1
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
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key], self._locks[key]


def _busy() -> Problem:
    return Problem(
        503,
        "busy",
        "Earlier requests for the same device or person are still being worked on. Send this one again soon.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
