"""Proxies requests and answers as streams: no body is buffered here."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import cache

import anyio
import httpx
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from opentelemetry import propagate
from prometheus_client import Counter
from starlette.requests import ClientDisconnect

from laundry_service.http.client_address import client_address
from laundry_service.http.problems import Problem
from laundry_service.limits.streams import StreamLimiter
from web.auth.sessions import Kept, Live
from web.auth.signing_in import SigningIn
from web.event_streams import PassedEvents
from web.forwarding import PREFIX, Upstream, forwarded, is_stream, returned
from web.settings import ProxySettings

FAILURES = Counter(
    "laundry_web_upstream_failures_total",
    "Requests that a service did not answer, or not to the end",
    ["service", "reason"],
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
CLOSE_TIMEOUT_S = 2.0
RETRY_AFTER = {"Retry-After": "2"}

log = structlog.get_logger(__name__)


@cache
def _authorities() -> ssl.SSLContext:
    """Whom connections trust: read once, since that takes long."""
    return httpx.create_ssl_context(trust_env=False)


def _client(max_connections: int) -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        verify=_authorities(),
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=32,
            # Shorter than the services' own 30 s: no request goes out on a connection just closed.
            keepalive_expiry=15,
        ),
        trust_env=False,
        follow_redirects=False,
    )
    client.headers.clear()
    return client


class Proxy:
    """The connections to the services. Open event streams end as soon as ``stopping`` is set."""

    def __init__(self, settings: ProxySettings, signing_in: SigningIn, stopping: asyncio.Event) -> None:
        """Use the timeouts and limits of the settings. Nothing connects yet."""
        self._signing_in = signing_in
        self._stopping = stopping
        self._body_timeout_s = settings.body_timeout_s
        self._max_body_bytes = settings.max_body_bytes
        self._timeout = httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s)
        self._stream_timeout = httpx.Timeout(
            settings.stream_read_timeout_s, connect=settings.connect_timeout_s
        )
        self._client = _client(settings.max_connections)
        # Open streams do not use up connections that requests need.
        self._stream_client = _client(settings.streams_at_most)
        self._limiter = StreamLimiter(
            {"address": settings.streams_per_address, "process": settings.streams_at_most}
        )

    async def close(self) -> None:
        """Close the connections to the services."""
        await self._client.aclose()
        await self._stream_client.aclose()

    async def forward(self, request: Request, upstream: Upstream, raw_path: str) -> Response:
        """Send a request on and return the answer as soon as its headers are there.

        Raises:
            Problem: 404 outside the public API, 408 for a caller who stops sending, 413 for one who announces
                more than any service takes, 502 or 504 for a service that is away or silent; and what
                ``SigningIn.caller`` refuses.
        """
        if not upstream.admits(raw_path):
            raise Problem(404, "not-found", f"There is nothing at {request.url.path}.")
        self._check_length(request)
        caller = await self._signing_in.caller(request, stream=is_stream(raw_path))
        if is_stream(raw_path):
            return PassedEvents(
                self._limiter,
                client_address(request.scope),
                lambda: self._sent(request, upstream, raw_path, caller),
            )
        return await self._sent(request, upstream, raw_path, caller)

    async def _sent(
        self, request: Request, upstream: Upstream, raw_path: str, caller: tuple[Kept, Live] | None
    ) -> StreamingResponse:
        following = is_stream(raw_path)
        client = self._stream_client if following else self._client
        outgoing = self._outgoing(client, request, upstream, raw_path, following=following)
        if caller is not None:
            outgoing.headers["authorization"] = f"Bearer {caller[1].tokens.bearer}"
        try:
            answer = await client.send(outgoing, stream=True)
        except httpx.TimeoutException as error:
            FAILURES.labels(upstream.name, "timeout").inc()
            log.warning("a service is silent", upstream=upstream.name, error=type(error).__name__)
            raise Problem(
                504,
                "service-timeout",
                f"The {upstream.name} service did not answer in time. Try again shortly.",
                headers=RETRY_AFTER,
                service=upstream.name,
            ) from error
        except httpx.TransportError as error:
            FAILURES.labels(upstream.name, "unavailable").inc()
            log.warning("a service is away", upstream=upstream.name, error=f"{type(error).__name__}: {error}")
            raise Problem(
                502,
                "service-unavailable",
                f"The {upstream.name} service cannot be reached. Try again shortly.",
                headers=RETRY_AFTER,
                service=upstream.name,
            ) from error
        if not following and _tells_events(answer):
            # Endless streams must not hold a connection that requests wait for.
            await answer.aclose()
            raise Problem(404, "not-found", f"There is nothing at {request.url.path}.")
        response = StreamingResponse(self._answer_body(answer, upstream), answer.status_code)
        response.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in returned(answer.headers.multi_items(), upstream)
        ]
        if caller is not None:
            kept, live = caller
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                self._signing_in.sessions.doubt(live)
            self._signing_in.renew(request, response, kept, live)
        return response

    def _check_length(self, request: Request) -> None:
        # Before the first byte is asked for: who sent `Expect: 100-continue` then sends none.
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_body_bytes:
            raise Problem(
                413,
                "photo-too-large" if "multipart" in request.headers.get("content-type", "") else "too-large",
                f"The request has {int(declared):,} bytes; at most {self._max_body_bytes:,} are taken. Take "
                "the photo at a lower resolution.",
                max_bytes=self._max_body_bytes,
            )

    def _outgoing(
        self,
        client: httpx.AsyncClient,
        request: Request,
        upstream: Upstream,
        raw_path: str,
        *,
        following: bool,
    ) -> httpx.Request:
        headers = forwarded(request.headers.items())
        trace: dict[str, str] = {}
        propagate.inject(trace)
        headers += trace.items()
        headers.append(("x-forwarded-for", client_address(request.scope)))
        url = f"{upstream.url}/{raw_path}"
        if query := request.scope["query_string"].decode("latin-1"):
            url += f"?{query}"
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        return client.build_request(
            request.method,
            url,
            headers=headers,
            content=self._request_body(request) if has_body else None,
            timeout=self._stream_timeout if following else self._timeout,
        )

    async def _request_body(self, request: Request) -> AsyncIterator[bytes]:
        chunks = aiter(request.stream())
        while True:
            try:
                async with asyncio.timeout(self._body_timeout_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise Problem(
                    408, "upload-stalled", "The request stopped arriving. Send it again."
                ) from error
            except ClientDisconnect as error:
                # Nobody is left to read this; it ends the request to the service.
                raise Problem(
                    400, "caller-gone", "The connection closed before the request ended."
                ) from error
            if chunk:
                yield chunk

    async def _answer_body(self, answer: httpx.Response, upstream: Upstream) -> AsyncIterator[bytes]:
        events = _tells_events(answer)
        chunks = answer.aiter_raw()
        try:
            async for chunk in self._until_stopping(chunks) if events else chunks:
                yield chunk
        except httpx.HTTPError as error:
            FAILURES.labels(upstream.name, "broken off").inc()
            log.warning("a service broke off", upstream=upstream.name, error=type(error).__name__)
            # The end of an event stream means "connect again"; of anything else half an answer must not
            # look whole, so the connection breaks.
            if not events:
                raise
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True), contextlib.suppress(httpx.HTTPError):
                await answer.aclose()

    async def _until_stopping(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not stopping.done():
                chunk = asyncio.ensure_future(anext(chunks, None))
                try:
                    await asyncio.wait({chunk, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not chunk.done():
                        chunk.cancel()
                        # Shielded, or a second cancellation would interrupt the closing of the connection.
                        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                            await asyncio.gather(chunk, return_exceptions=True)
                if chunk.cancelled() or (piece := chunk.result()) is None:
                    return
                yield piece
        finally:
            stopping.cancel()


def _tells_events(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


def router(proxy: Proxy, upstreams: Sequence[Upstream]) -> APIRouter:
    """Make ``/api/<service>/<anything public>`` for every service."""
    routes = APIRouter(include_in_schema=False)
    by_name = {upstream.name: upstream for upstream in upstreams}
    for name in by_name:
        # Starts at 0, so that the first one is an increase.
        for reason in ("timeout", "unavailable", "broken off"):
            FAILURES.labels(name, reason)

    @routes.api_route(PREFIX + "/{service}/{path:path}", methods=METHODS)
    async def forward(request: Request, service: str) -> Response:
        if (upstream := by_name.get(service)) is None:
            raise Problem(404, "not-found", f"There is no service {service[:40]!r} here.")
        # As it was sent: decoding and encoding again would change what %2F and friends mean.
        raw_path = request.scope["raw_path"].decode("latin-1").removeprefix(f"{PREFIX}/{service}/")
        return await proxy.forward(request, upstream, raw_path)

    return routes
