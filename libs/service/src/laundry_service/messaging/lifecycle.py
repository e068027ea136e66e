"""Starts and stops consuming: the FastStream app as a component of the service's app."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog
from faststream import FastStream

from laundry_events.broker import ConsumingBroker
from laundry_service.background.task import reraise_own_cancellation

CLOSE_S = 5.0

log = structlog.get_logger(__name__)


class ConsumerLifecycle:
    """Starts the FastStream app in the background, so that a missing broker delays nothing else."""

    def __init__(self, broker: ConsumingBroker, after: Callable[[], Awaitable[object]] | None = None) -> None:
        """Take the broker with its subscribers registered; ``after`` returns once messages can be handled."""
        self.broker = broker
        self._after = after
        self.faststream = FastStream(broker)
        self.started = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect and subscribe."""
        self._task = asyncio.create_task(self._start(), name="consume")

    async def _start(self) -> None:
        pause_s = 0.5
        if self._after is not None:
            # Until then messages are left to the other replicas.
            await self._after()
        while True:
            self._begun = True
            try:
                await self.faststream.start()
            except (Exception, asyncio.CancelledError) as error:
                reraise_own_cancellation()
                log.warning(
                    "cannot consume yet", error=f"{type(error).__name__}: {error}", again_in_s=pause_s
                )
                await self._clear_away()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5)
            else:
                self.started = True
                log.info("consuming")
                return

    async def stop(self) -> None:
        """Stop taking messages, finish those in flight within the graceful timeout, close."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.started:
            await self.faststream.stop()
        elif self._begun:
            await self._clear_away(within_s=CLOSE_S)

    async def _clear_away(self, within_s: float | None = None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self.broker.stop()
        except (Exception, asyncio.CancelledError):
            reraise_own_cancellation()

    async def taking(self) -> bool:
        """Whether messages are handled rather than held for a dependency that is down."""
        return self.broker.paused_for is None

    async def settles(self) -> bool:
        """Whether messages are being settled; if not, this process is not ready."""
        return self.broker.settles

    async def healthy(self) -> bool:
        """Whether subscribers were started and the connection is up."""
        return self.started and await self.broker.ping(timeout=1.0)
