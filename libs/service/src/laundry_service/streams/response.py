"""The event-stream response, and what all streams of a process share: limits, ends, pings."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog
from fastapi.sse import format_sse_event
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from laundry_service.auth.principal import Principal
from laundry_service.background.task import BackgroundTask
from laundry_service.http.problems import Problem
from laundry_service.limits.streams import StreamLimiter, TooManyStreams
from laundry_service.streams.subscription import NotListening, Subscription

TICK_S = 1.0
PING_EVERY_S = 15.0
# A stream whose reader reads nothing for this long is ended.
SEND_S = 20.0
# With many streams open each sends less often, so that their total cost stays small.
SENDS_PER_S = 2000
REST_FROM_S = 0.02
RETRY_MS = 2000
READY = format_sse_event(event="ready", data_str="{}", retry=RETRY_MS)
CONNECTED = format_sse_event(comment="connected", retry=RETRY_MS)

ENDED = Counter("laundry_streams_ended", "Event streams that ended, by why", ["reason"])

log = structlog.get_logger(__name__)

EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Server-sent events. List once the stream begins (its first bytes), then take each event over "
            "what you know. `reset` says that events were left out: list again. When the stream ends, come "
            "back after a pause and begin again; it ends after a while, with the token, and when the service "
            "restarts."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    429: {
        "description": "Too many streams are open (`too-many-streams`): poll the list meanwhile",
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
}


def _not_listening() -> Problem:
    return Problem(
        503,
        "stream-unavailable",
        "Changes cannot be followed at the moment. Fetch the list and try again shortly.",
        headers={"Retry-After": "2"},
    )


class Source(Protocol):
    """What can be followed: ``Changes``, or what looks by itself."""

    def follow(
        self, topics: Iterable[Hashable] | None, *, variant: str = ""
    ) -> AbstractContextManager[Subscription]:
        """Subscribe for the length of a block.

        Raises:
            NotListening: changes would be missed now.
        """


class Streams:
    """The open streams of a process; a part of the app."""

    def __init__(
        self,
        *,
        per_person: int,
        per_branch: int,
        in_all: int,
        max_s: float,
        stopping: asyncio.Event,
        allows: Callable[[Principal], bool],
    ) -> None:
        """Take the limits, how long one stream may last, and what says whether a caller is still welcome."""
        self.limiter = StreamLimiter({"person": per_person, "branch": per_branch, "process": in_all})
        self.max_s = max_s
        self._stopping = stopping
        self._allows = allows
        self._open: dict[Subscription, Principal] = {}
        self._spoke: dict[Subscription, float] = {}
        self._watching = BackgroundTask("streams", self._watch, every_s=TICK_S, at_once=False)
        self._ending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start watching the streams."""
        await self._watching.start()
        self._ending = asyncio.create_task(self._end_when_stopping(), name="streams-end")

    async def stop(self) -> None:
        """End all streams; their clients come back to another replica."""
        self._end_all()
        await self._watching.stop()
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)

    @property
    def rest_s(self) -> float:
        """How long a stream batches changes after sending, in seconds."""
        return len(self._open) / SENDS_PER_S

    def spoke(self, subscription: Subscription) -> None:
        """Note a sign of life."""
        self._spoke[subscription] = time.monotonic()

    @contextlib.contextmanager
    def watched(self, subscription: Subscription, principal: Principal) -> Iterator[None]:
        """Watch over a stream for the length of the block."""
        lasts_s = min(self.max_s, principal.expires_at - time.time())
        self._open[subscription] = principal
        self.spoke(subscription)
        timer = asyncio.get_running_loop().call_later(max(0.0, lasts_s), subscription.end, "time")
        if self._stopping.is_set():
            subscription.end("stopping")
        try:
            yield
        finally:
            timer.cancel()
            del self._open[subscription]
            del self._spoke[subscription]
            ENDED.labels(subscription.ended or "broken").inc()

    async def _watch(self) -> None:
        now = time.monotonic()
        for subscription, principal in list(self._open.items()):
            if not self._allows(principal):
                subscription.end("denied")
            elif now - self._spoke.get(subscription, now) >= PING_EVERY_S:
                subscription.ping()

    async def _end_when_stopping(self) -> None:
        await self._stopping.wait()
        self._end_all()

    def _end_all(self) -> None:
        for subscription in list(self._open):
            subscription.end("stopping")


class EventStream(Response):
    """Streams changes to one caller until they disconnect, their token expires, or the service stops.

    Raises:
        Problem: 429 beyond a limit, 503 while the database is not heard; before anything is sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        source: Source,
        principal: Principal,
        *,
        topics: Iterable[Hashable] | None,
        variant: str = "",
        greeting: bytes = READY,
        opening: Callable[[Subscription], Awaitable[None]] | None = None,
        status_code: int = 200,
    ) -> None:
        """Take who follows which topics (none: all) of what.

        Args:
            opening: may offer what the caller is to hear first, once nothing is missed any more.
            status_code: named here for OpenAPI, which reads it from this signature.
        """
        super().__init__(
            status_code=status_code,
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "Content-Type": "text/event-stream; charset=utf-8",
            },
        )
        del self.headers["content-length"]
        self._streams = streams
        self._source = source
        self._principal = principal
        self._topics = topics
        self._variant = variant
        self._greeting = greeting
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the greeting, then each change, until the stream ends."""
        try:
            with (
                self._streams.limiter.slot(self._holders()),
                self._source.follow(self._topics, variant=self._variant) as subscription,
                self._streams.watched(subscription, self._principal),
            ):
                if self._opening is not None:
                    await self._opening(subscription)
                await self._run(subscription, receive, send)
        except TooManyStreams as error:
            raise error.problem() from error
        except NotListening as error:
            raise _not_listening() from error

    def _holders(self) -> list[tuple[str, str]]:
        branches = [("branch", branch) for branch in sorted(self._principal.branches)]
        return [("person", self._principal.sub), *branches, ("process", "")]

    async def _run(self, subscription: Subscription, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(_until_gone(subscription, receive))
        try:
            async with asyncio.timeout(SEND_S):
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                await send({"type": "http.response.body", "body": self._greeting, "more_body": True})
            while (said := await subscription.take()) is not None:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": said, "more_body": True})
                self._streams.spoke(subscription)
                if (rest_s := self._streams.rest_s) >= REST_FROM_S:
                    await subscription.rest(rest_s)
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # The server closes a connection whose answer was not finished.
            subscription.end("slow")
            log.info("a stream ended: its reader does not read", sub=self._principal.sub)
        except OSError:
            subscription.end("gone")
        finally:
            leaving.cancel()


async def _until_gone(subscription: Subscription, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.end("gone")
