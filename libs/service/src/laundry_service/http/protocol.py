"""uvicorn's HTTP/1.1 protocol with limits on heads, slow callers and connections, which it lacks.

It relies on internals of uvicorn's httptools protocol, so the version range is pinned and the tests
of every limit run on real sockets.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import socket
import sys
import termios
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from laundry_service.http.client_address import trusted
from laundry_service.http.connections import REFUSED, ConnectionLimiter, Refusal
from laundry_service.http.settings import HttpSettings

# How long the rest of a body is drained after its request was answered.
LINGER_S = 10.0
# How long a refused caller may still send: closing at once could discard the answer (RFC 9112 §9.6).
REFUSED_LINGER_S = 2.0
# Of what a connection sends; enough for 2 MB/s over 100 ms.
KERNEL_BUFFER_BYTES = 256 * 1024
# A chunk of one byte takes six; framing beyond that is padding.
MAX_WRAPPING = 8


class BoundedProtocol(HttpToolsProtocol):
    """One connection that keeps to the limits that its server sets."""

    limiter: ConnectionLimiter

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Start as a connection without a request."""
        super().__init__(config, server_state, app_state, _loop)
        self.limits = self.limiter.limits
        self.origin: str | None = None
        # When the phase began: waiting for a request, its head, or its body.
        self.since = self.loop.time()
        self._in_head = self._in_body = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._wrapping = 0
        self._last_body_at = 0.0
        self._looked_at = self.since
        self._unsent = 0
        self._unsent_since = self._stuck_since = self.since
        self._read_bytes = 0
        self._refused: Refusal | None = None
        self._refused_at = 0.0
        self._answers_first = False

    @property
    def waiting(self) -> bool:
        """Whether no request is in progress: the head is not whole, or the next one did not begin."""
        return not self._in_body and (self.cycle is None or self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection or end it."""
        super().connection_made(transport)
        _bound_kernel_buffer(transport)
        self.origin = self._origin()
        if (refusal := self.limiter.admit(self)) is not None:
            self.refuse(refusal)

    def _origin(self) -> str | None:
        """The address that this connection counts against; None for a trusted proxy."""
        if self.client is None or trusted(self.client[0], self.limits.trusted_proxies):
            return None
        address = ipaddress.ip_address(self.client[0].partition("%")[0])
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address, 64), strict=False))

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place of the connection."""
        self.limiter.leave(self)
        # Requests not yet started are dropped: nobody is there to read the answer.
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the limits."""
        if self._refused is not None or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        body_of, body_before = self.cycle if self._in_body else None, self._body_bytes
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if body_of is not None and body_of is self.cycle and self._in_body:
                self._bound_wrapping(len(data) - (self._body_bytes - body_before))
            elif self._in_head and self._head_bytes > self.limits.http_header_bytes + len(self.url):
                raise self._too_large()
        except Refusal as refusal:
            self.refuse(refusal)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(
                cause
                if isinstance(cause, Refusal)
                else Refusal(
                    "malformed-request", 400, "This is no HTTP/1.1 request. Send it as RFC 9112 says."
                )
            )
        except httptools.HttpParserUpgrade:
            # No upgrade is supported here; RFC 9110 lets the server continue with HTTP/1.1.
            pass

    def _bound_wrapping(self, arrived: int) -> None:
        self._wrapping += arrived
        if self._wrapping > self.limits.http_header_bytes + MAX_WRAPPING * self._body_bytes:
            raise Refusal(
                "body-padded", 400, "Chunk extensions or trailers are too large. Send the body without them."
            )

    def _too_large(self) -> Refusal:
        return Refusal(
            "headers-too-large",
            431,
            f"The headers exceed {self.limits.http_header_bytes} bytes or {self.limits.http_headers} fields."
            " Send fewer.",
        )

    def on_message_begin(self) -> None:
        """Begin a request, unless too many are waiting."""
        if len(self.pipeline) >= self.limits.http_pipelined:
            raise Refusal(
                "too-many-pipelined", 429, "Too many requests wait on this connection. Wait for the answers."
            )
        super().on_message_begin()
        self._in_head = True
        self.since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request target."""
        super().on_url(url)
        if len(self.url) > self.limits.http_request_line_bytes:
            raise Refusal(
                "uri-too-long",
                414,
                f"The request target exceeds {self.limits.http_request_line_bytes} bytes. Shorten it.",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers are dropped."""
        if self._in_body:
            return
        if len(self.headers) >= self.limits.http_headers:
            raise self._too_large()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head exceeds a limit."""
        size = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.http_header_bytes:
            raise self._too_large()
        self._in_head, self._in_body = False, True
        self._head_bytes = self._body_bytes = self._wrapping = 0
        self.since = self._last_body_at = self._looked_at = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._body_bytes += len(body)
        self._last_body_at = self.loop.time()
        # uvicorn stops reading at the high-water mark; one read more may be under way.
        if len(self.cycle.body) > 16 * HIGH_WATER_LIMIT:
            raise Refusal("body-too-early", 400, "The body comes before the answer that is waited for.")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._in_body = False
        self._head_bytes = 0
        self.since = self.loop.time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request, or end if one was refused meanwhile."""
        if not self._in_body and not self._in_head:
            self.since = self.loop.time()
        super().on_response_complete()
        if self._refused is not None:
            self.transport.close()

    def look(self, now: float) -> None:
        """End the connection if it has taken too long."""
        passed, self._looked_at = now - self._looked_at, now
        if self._is_unread(now):
            self.refuse(Refusal("answer-unread", 408, "The answer was not read in time."))
        elif self._refused is not None:
            if now - self._refused_at > REFUSED_LINGER_S and not self._answers_first:
                self.transport.abort()
        elif self._in_body:
            if (refusal := self._body_overdue(now, passed)) is not None:
                self.refuse(refusal)
        elif self.waiting:
            asking = self._in_head or self.cycle is None
            limit = self.limits.http_header_timeout_s if asking else self.limits.http_idle_timeout_s
            if now - self.since > limit and self._in_head:
                self.refuse(
                    Refusal("header-timeout", 408, f"The headers took over {limit:g} s. Send them faster.")
                )
            elif now - self.since > limit:
                REFUSED.labels("silent").inc()
                self.transport.close()

    def _body_overdue(self, now: float, passed: float) -> Refusal | None:
        limits = self.limits
        if self.cycle.response_complete:
            late = (
                now - self._last_body_at > LINGER_S or now - self.since > LINGER_S + limits.http_body_idle_s
            )
            return Refusal("body-after-answer", 408, "It was answered already.") if late else None
        if self.flow.read_paused:
            # Reading is paused on our side: the caller is not slow.
            self.since += passed
            self._last_body_at += passed
            return None
        took = now - self.since
        stalled = now - self._last_body_at > limits.http_body_idle_s
        slow = took > limits.http_body_idle_s and self._body_bytes < took * limits.http_min_bytes_per_s
        if stalled or slow:
            return Refusal(
                "body-timeout",
                408,
                f"The body stopped for {limits.http_body_idle_s:g} s or came slower than"
                f" {limits.http_min_bytes_per_s:g} bytes a second. Send it again.",
            )
        return None

    def _is_unread(self, now: float) -> bool:
        """Whether the peer does not read what was written."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            # What the kernel holds shows a slow reader's progress long before it asks for more.
            unsent += _unacknowledged(self.transport)
        if unsent == 0 or self._unsent == 0:
            self._unsent_since = self._stuck_since = now
            self._read_bytes = 0
        elif unsent < self._unsent:
            self._stuck_since = now
            self._read_bytes += self._unsent - unsent
        self._unsent = unsent
        took, patience = now - self._unsent_since, self.limits.http_body_idle_s
        slow = took > patience and self._read_bytes < took * self.limits.http_min_bytes_per_s
        return unsent > 0 and (slow or now - self._stuck_since > patience)

    def refuse(self, refusal: Refusal) -> None:
        """End the connection, and say why where an answer can still be heard as one."""
        REFUSED.labels(refusal.reason).inc()
        self._refused, self._refused_at = refusal, self.loop.time()
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if refusal.reason == "answer-unread" or (self._in_body and (not answering or self.pipeline)):
            self.transport.abort()
        elif answering and not self._in_body:
            # An earlier request is being answered: that goes first, and is the last.
            self._answers_first = True
            self.pipeline.clear()
        elif answering and cycle.response_started:
            self.transport.abort()
        else:
            if answering:
                # Its endpoint sees a disconnect; what it still writes is dropped.
                cycle.disconnected = True
                cycle.message_event.set()
            self.flow.resume_reading()
            self.transport.write(refusal.answer())
            self.transport.write_eof()
            self.limiter.end(self)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes in the kernel that the peer has not acknowledged (tcp(7), SIOCOUTQ); 0 where unknown."""
    held = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
    except (OSError, ValueError, AttributeError):
        return 0
    return int.from_bytes(held, sys.byteorder)


def _bound_kernel_buffer(transport: asyncio.Transport) -> None:
    """Keep the kernel from buffering megabytes for a peer that read quickly and then stopped.

    What arrives needs no such bound: its buffer grows only as it is read.
    """
    held = transport.get_extra_info("socket")
    if held is not None:
        with contextlib.suppress(OSError):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)


def bounded_protocol(settings: HttpSettings) -> type[BoundedProtocol]:
    """Make the protocol class of one server, for ``uvicorn.Config(http=...)``."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limiter": ConnectionLimiter(settings)})
