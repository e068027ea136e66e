"""Pushes to browsers through their push services (RFC 8030), and what the answers mean."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpcore
import httpx
import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from notification.push import Push, PushResult, PushStatus
from notification.web_push.addresses import PublicNetwork
from notification.web_push.encryption import ENCODING, encrypt
from notification.web_push.endpoints import Endpoint, NotAllowed, PushServices
from notification.web_push.payload import payload_of, topic_of
from notification.web_push.vapid import VapidKey, VapidTokens

GONE = {404, 410}
OUR_KEYS = {401, 403}
TOO_LARGE = 413
# WNS says 406 where others say 429.
LATER = {406, 408, 425, 429}
ANSWER_BYTES = 2_000
KEEP_ALIVE_S = 30.0

PUSHES = Counter(
    "laundry_web_push_requests", "Pushes to browsers by push service and verdict", ["service", "verdict"]
)
PUSH_SECONDS = Histogram("laundry_web_push_request_seconds", "Time of one push to a browser")

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)


class WebPusher:
    """One request for each push, no redirects and no retries: the sender decides when to try again."""

    def __init__(
        self,
        *,
        key: VapidKey,
        subject: str,
        services: PushServices,
        attempt_timeout_s: float,
        network: PublicNetwork | None = None,
    ) -> None:
        """Push as ``subject`` to the services that are allowed; one push takes the timeout at most."""
        self._tokens = VapidTokens(key, subject, time.time)
        self._services = services
        self._timeout_s = attempt_timeout_s
        self._network = network or PublicNetwork(services.anywhere)
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def start(self) -> None:
        """Open the client and its connections."""
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            # The sender limits pushes in flight; a service that hangs must not use up the others'.
            max_connections=None,
            max_keepalive_connections=50,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=self._network,
        )

    async def stop(self) -> None:
        """Close the client and its connections."""
        if self._pool is not None:
            await self._pool.aclose()
            self._network.close()
            self._pool = None

    async def push(self, push: Push) -> PushResult:
        """Send one message and classify the answer."""
        try:
            # Again, not only at registration: the list may have become shorter since.
            endpoint = self._services.endpoint(push.token)
        except NotAllowed as error:
            PUSHES.labels("not allowed", PushStatus.REFUSED).inc()
            return PushResult(PushStatus.REFUSED, f"its endpoint is not allowed: {error}")
        with PUSH_SECONDS.time():
            result = await self._push(push, endpoint)
        PUSHES.labels(endpoint.service, result.status).inc()
        return result

    async def _push(self, push: Push, endpoint: Endpoint) -> PushResult:
        assert push.keys is not None and self._pool is not None
        try:
            body = encrypt(payload_of(push), push.keys)
        except ValueError as error:
            return PushResult(PushStatus.REFUSED, f"the message cannot be encrypted: {error}"[:500])
        headers = self._headers(push, endpoint, len(body))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(endpoint, headers, body)
        except TimeoutError:
            return PushResult(PushStatus.LATER, f"no answer within {self._timeout_s:g} s")
        except (OSError, httpcore.ConnectionNotAvailable) as error:
            return PushResult(PushStatus.LATER, f"{type(error).__name__}: {error}"[:500])
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return PushResult(PushStatus.LATER, f"{type(error).__name__}: {error}"[:500])

    def _headers(self, push: Push, endpoint: Endpoint, size: int) -> list[tuple[bytes, bytes]]:
        ttl = push.kept_for
        headers = {
            "Host": endpoint.origin.partition("://")[2],
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
            "Content-Encoding": ENCODING,
            "Authorization": self._tokens.authorization(endpoint.origin),
            "TTL": str(int(ttl.total_seconds())),
            "Urgency": "high" if push.urgent else "low",
            "Topic": topic_of(push.tag),
        }
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    async def _ask(
        self, endpoint: Endpoint, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> PushResult:
        assert self._pool is not None
        url = httpcore.URL(
            scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port, target=endpoint.target
        )
        # Of the address only whom it leads to: its path is what a push needs to ring the browser. No library
        # makes the spans of httpcore's requests.
        attributes = {
            "http.request.method": "POST",
            "server.address": endpoint.host,
            "url.full": f"{endpoint.origin}/",
        }
        with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=attributes) as span:
            async with self._pool.stream("POST", url, headers=headers, content=body) as answer:
                span.set_attribute("http.response.status_code", answer.status)
                return await _read(answer)


async def _read(answer: httpcore.Response) -> PushResult:
    said = bytearray()
    async for chunk in answer.aiter_stream():
        said += chunk
        if len(said) > ANSWER_BYTES:
            break
    fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
    return read_answer(answer.status, fields, said[:ANSWER_BYTES].decode(errors="replace"))


def read_answer(status: int, headers: Mapping[str, str], text: str) -> PushResult:
    """Classify an answer: what it means for the browser and for the message.

    Only 404 and 410 say that a subscription is over. 401 and 403 are about our key or our ``sub``: were they
    taken for that, one wrong setting would erase every browser.
    """
    said = " ".join(text.split())[:200]
    described = f"{status} {said}".strip()
    if 200 <= status < 300:
        return PushResult(PushStatus.SENT)
    if status in GONE:
        return PushResult(PushStatus.GONE, described)
    if status in LATER or status >= 500 or status < 400:
        # A redirect is not followed: it would lead past the allow-list.
        return PushResult(
            PushStatus.LATER, described, retry_after_s=_retry_after_s(headers.get("retry-after"))
        )
    why = "our key or sub" if status in OUR_KEYS else "the size" if status == TOO_LARGE else "the request"
    log.error("a push service refuses a request", about=why, status=status, answer=said)
    return PushResult(PushStatus.REFUSED, described)


def _retry_after_s(value: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        wait: timedelta = parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)
    except ValueError:
        return None
    return max(0.0, wait.total_seconds())
