"""Server-sent events from PostgreSQL NOTIFY: what changed in any replica reaches every listening browser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

import asyncpg
import structlog

from laundry_events.relay import plain_dsn

QUEUE_SIZE = 256
MAX_STREAM_S = 900.0
START_S = 2.0
"""So long a start waits for the database to hear us; who listens before that is sent away again."""

log = structlog.get_logger(__name__)


class Changes:
    """Listens on one NOTIFY channel and hands each payload to every subscriber of this process.

    The payload is an id or small JSON (NOTIFY carries at most 8,000 bytes); listeners then read the row.
    A listener that is too slow loses the oldest payloads, not the connection.
    """

    def __init__(self, database_url: str, channel: str) -> None:
        """Take the service's database and the channel's name."""
        self._dsn = plain_dsn(database_url)
        self._channel = channel
        self._subscribers: set[asyncio.Queue[str | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen, in the background from the moment that the database heard us or did not answer."""
        self._task = asyncio.create_task(self._run(), name=f"listen-{self._channel}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._tried.wait()

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause_s = 0.5
        while True:
            connection: asyncpg.Connection[Any] | None = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5)
                closed = asyncio.Event()
                connection.add_termination_listener(lambda _, closed=closed: closed.set())
                await connection.add_listener(self._channel, self._on_notify)
                # Who came while nobody listened may have missed something: let them read everything anew.
                self._end_listeners()
                self._tried.set()
                pause_s = 0.5
                await closed.wait()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("change listener lost its database", error=str(error))
            except Exception:
                log.exception("change listener failed")
            finally:
                if connection is not None and not connection.is_closed():
                    with contextlib.suppress(Exception):
                        await connection.close(timeout=2)
                self._end_listeners()
                self._tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 10)

    def _on_notify(self, *arguments: Any) -> None:
        payload = str(arguments[-1])
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(payload)

    def _end_listeners(self) -> None:
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    @contextlib.asynccontextmanager
    async def following(
        self, until: asyncio.Event | None = None, *, max_s: float = MAX_STREAM_S
    ) -> AsyncIterator["Following"]:
        """Subscribe for the length of the block: whatever changes from its beginning on is told in it.

        What it gives is iterated for payloads. They end when ``until`` is set (give ``app.state.stopping``);
        after ``max_s``, so that who may listen is asked again now and then; and when the database hangs up,
        since what changes meanwhile is not told: the browser comes back and reads everything anew.
        """
        ended = asyncio.ensure_future(_set_or_after(until or asyncio.Event(), max_s))
        queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUE_SIZE)
        self._subscribers.add(queue)
        try:
            yield Following(queue, ended)
        finally:
            self._subscribers.discard(queue)
            ended.cancel()


class Following:
    """The payloads of one subscriber, in their order."""

    def __init__(self, queue: asyncio.Queue[str | None], ended: asyncio.Future[None]) -> None:
        """Take what fills and what ends it; a ``None`` in the queue ends it too."""
        self._queue = queue
        self._ended = ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        coming = asyncio.ensure_future(self._queue.get())
        try:
            waited: set[asyncio.Future[Any]] = {self._ended, coming}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            payload = coming.result() if coming.done() and not self._ended.done() else None
        finally:
            coming.cancel()
        if payload is None:
            raise StopAsyncIteration
        return payload


async def _set_or_after(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
