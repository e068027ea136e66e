"""All connections of one server: how many are allowed, per address, and why one is ended.

Checking all of them once a second is cheaper than a timer per request.
"""

import asyncio
import json
from collections import Counter as Counts
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter, Gauge

from laundry_service.http.settings import HttpSettings

if TYPE_CHECKING:
    from laundry_service.http.protocol import BoundedProtocol

LOOK_EVERY_S = 1.0
MAX_ENDING = 200

CONNECTIONS = Gauge("laundry_http_connections", "Open connections")
REFUSED = Counter(
    "laundry_http_refused_total", "Connections that were ended before their request was whole", ["reason"]
)


log = structlog.get_logger(__name__)


class Refusal(Exception):
    """Why a connection ends.

    Args:
        reason: the metric's label, in kebab-case; the problem's code as well.
        status: what is answered where the caller can still hear it.
        detail: what is wrong and what to do.
    """

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status
        self.detail = detail

    def answer(self) -> bytes:
        """Write the problem document as a whole HTTP/1.1 answer."""
        phrase = HTTPStatus(self.status).phrase
        body = json.dumps(
            {
                "type": f"urn:laundry:problem:{self.reason}",
                "title": phrase,
                "status": self.status,
                "detail": self.detail,
                "code": self.reason,
                "instance": None,
            }
        ).encode()
        retry = "retry-after: 5\r\n" if self.status in {429, 503} else ""
        head = (
            f"HTTP/1.1 {self.status} {phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
        )
        return head.encode() + body


class ConnectionLimiter:
    """Tracks every connection of one server, and ends those that exceed a limit."""

    def __init__(self, settings: HttpSettings) -> None:
        self.limits = settings
        self._open: dict[BoundedProtocol, None] = {}
        self._ending: dict[BoundedProtocol, None] = {}
        self._by_address: Counts[str] = Counts()
        self._look: asyncio.TimerHandle | None = None

    def admit(self, protocol: "BoundedProtocol") -> Refusal | None:
        """Count a new connection; returns why it cannot stay."""
        limits = self.limits
        self._open[protocol] = None
        CONNECTIONS.inc()
        if self._look is None:
            self._look = protocol.loop.call_later(LOOK_EVERY_S, self._tick, protocol.loop)
        if protocol.origin:
            self._by_address[protocol.origin] += 1
            if self._by_address[protocol.origin] > limits.http_connections_per_address:
                return Refusal(
                    "too-many-connections",
                    429,
                    f"More than {limits.http_connections_per_address} connections are open from your address."
                    " Close some.",
                )
        if len(self._open) > limits.http_connections and not self._make_room(protocol):
            return Refusal("server-full", 503, "All connections are in use. Try again shortly.")
        return None

    def end(self, protocol: "BoundedProtocol") -> None:
        """Let a refused connection linger so that it can read why; it no longer counts."""
        self.leave(protocol)
        if len(self._ending) < MAX_ENDING:
            self._ending[protocol] = None
        else:
            protocol.transport.abort()

    def leave(self, protocol: "BoundedProtocol") -> None:
        """Forget a connection that ended."""
        self._ending.pop(protocol, None)
        if protocol in self._open:
            del self._open[protocol]
            CONNECTIONS.dec()
            if protocol.origin:
                self._by_address[protocol.origin] -= 1
                if self._by_address[protocol.origin] <= 0:
                    del self._by_address[protocol.origin]

    def _make_room(self, newcomer: "BoundedProtocol") -> bool:
        """End the oldest connection without a request in progress; first one that never asked anything."""
        waiting = (each for each in self._open if each is not newcomer and each.waiting)
        oldest = next((each for each in self._open if each is not newcomer and each.cycle is None), None)
        oldest = oldest or next(waiting, None)
        if oldest is None:
            return False
        REFUSED.labels("made-room").inc()
        oldest.transport.abort()
        self.leave(oldest)
        return True

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        try:
            for protocol in [*self._open, *self._ending]:
                self._look_at(protocol, now)
        finally:
            watched = self._open or self._ending
            self._look = loop.call_later(LOOK_EVERY_S, self._tick, loop) if watched else None

    def _look_at(self, protocol: "BoundedProtocol", now: float) -> None:
        """Look at one connection; one that cannot be looked at is ended, and takes no other's limits away."""
        try:
            protocol.look(now)
        except Exception:
            log.exception("a connection could not be looked at")
            self.leave(protocol)
            protocol.transport.abort()
