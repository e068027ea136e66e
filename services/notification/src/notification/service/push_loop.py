"""What both senders do: look for pushes in the background, make them concurrently, finish them at the end."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_service.background.task import BackgroundTask

POLL_S = 1.0
DATABASE_ERRORS: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, TimeoutError)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class PushLoop(ABC, Generic[T]):
    """Starts pushes in turns; each stays leased in the database until its outcome is recorded.

    A push that fails itself is logged: its lease expires, and it is made again.
    """

    def __init__(self, name: str, *, waiting: str, failed: str, push_waiting: str, push_failed: str) -> None:
        """Name the task, and what the log says of turns and pushes that wait for the database, or fail."""
        self._loop = BackgroundTask(
            name,
            self._turn,
            every_s=POLL_S,
            expected=DATABASE_ERRORS,
            waiting=waiting,
            failed=failed,
            finish_within_s=None,
        )
        self._push_waiting = push_waiting
        self._push_failed = push_failed
        self._in_flight: dict[asyncio.Task[None], T] = {}

    async def start(self) -> None:
        """Start sending in the background."""
        await self._loop.start()

    async def stop(self) -> None:
        """Finish the pushes in flight; what is leased but unsent is taken up when its lease expires."""
        await self._loop.stop()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    def wake(self) -> None:
        """Look for pushes now."""
        self._loop.wake()

    @property
    def _stopping(self) -> bool:
        return self._loop.stopping

    @abstractmethod
    async def _turn(self) -> float | None:
        """Start the pushes that are due; returns the seconds until the next turn, ``None`` for ``POLL_S``."""

    def _begin(self, item: T, push: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(push)
        self._in_flight[task] = item
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DATABASE_ERRORS):
            log.warning(self._push_waiting, error=f"{type(error).__name__}: {error}"[:200])
        elif error is not None:
            log.error(self._push_failed, exc_info=error)
