"""Proxied event streams: counted, on separate connections, ended when nobody reads."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

import structlog
from fastapi.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from laundry_service.limits.streams import StreamLimiter, TooManyStreams

SEND_S = 20.0

log = structlog.get_logger(__name__)


class PassedEvents(Response):
    """An event stream of a service, passed on while a slot is free.

    Raises:
        Problem: 429 beyond a limit, or what opening the stream raises; before anything is sent.
    """

    def __init__(
        self, limiter: StreamLimiter, address: str, open_stream: Callable[[], Awaitable[StreamingResponse]]
    ) -> None:
        """Proxy the stream that ``open_stream`` opens for this address."""
        super().__init__()
        self._limiter = limiter
        self._holders = [("address", address), ("process", "")]
        self._open_stream = open_stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the stream and proxy it."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_S):
                await send(message)

        try:
            with self._limiter.slot(self._holders):
                response = await self._open_stream()
                try:
                    await response(scope, receive, send_in_time)
                finally:
                    await cast("AsyncGenerator[bytes]", response.body_iterator).aclose()
        except TooManyStreams as error:
            raise error.problem() from error
        except TimeoutError:
            # The server closes a connection whose answer was not finished.
            log.info("a stream ended: its reader does not read")
