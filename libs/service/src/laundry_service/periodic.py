"""A job that runs again and again in the background; its failures are logged and tried again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)


class Periodic:
    """A part of the app: calls ``job`` every ``every_s`` seconds; every replica does.

    The first time is at once, or after one interval with ``at_once=False``.
    """

    def __init__(
        self, name: str, job: Callable[[], Awaitable[object]], *, every_s: float, at_once: bool = True
    ) -> None:
        """Take the job. It may be cancelled at any await."""
        self._name = name
        self._job = job
        self._every_s = every_s
        self._at_once = at_once
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin in the background."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Stop; what a job has not committed is rolled back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        if not self._at_once:
            await asyncio.sleep(self._every_s)
        while True:
            try:
                await self._job()
            except Exception as error:
                log.warning("a periodic job failed", job=self._name, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._every_s)
