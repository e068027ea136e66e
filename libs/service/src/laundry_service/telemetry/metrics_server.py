"""Prometheus metrics on a separate port, which no ingress exposes."""

import asyncio
import math

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from laundry_service.background.task import BackgroundTask
from laundry_service.http.protocol import BoundedProtocol, bounded_protocol
from laundry_service.http.settings import HttpSettings

# Scrapers are few; more connections than this are not theirs.
CONNECTIONS = 32
TRY_AGAIN_S = 5.0

log = structlog.get_logger(__name__)


async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI app: ``GET`` or ``HEAD``."""
    if scope["method"] in {"GET", "HEAD"}:
        await _answer(send, 200, generate_latest())
    else:
        await _answer(send, 405, b"Use GET.\n")


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI app of all other paths, and of a health that is not known yet."""
    await _answer(send, 404, b"Only /metrics, and /readyz once it is started, are here.\n")


async def _answer(send: Send, status: int, body: bytes) -> None:
    media_type = CONTENT_TYPE_LATEST if status == 200 else "text/plain; charset=utf-8"
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class MetricsServer:
    """Serves ``/metrics`` in the process's own event loop; a port in use delays nothing else."""

    def __init__(self, settings: HttpSettings, health: ASGIApp = not_found) -> None:
        """Take where to listen; port 0 means nowhere. ``health`` answers ``/readyz``."""
        self._apps = {"/metrics": metrics, "/readyz": health}
        self._host, self._port = settings.metrics_host, settings.metrics_port
        bounds = settings.model_copy(
            update={"http_connections": CONNECTIONS, "http_connections_per_address": CONNECTIONS}
        )
        self._protocol = bounded_protocol(bounds)
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._opening = BackgroundTask("metrics port", self._try_again, every_s=TRY_AGAIN_S, at_once=False)

    async def start(self) -> None:
        """Listen, or try again in the background."""
        if self._port and not await self._open():
            await self._opening.start()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._apps.get(scope["path"], not_found)(scope, receive, send)

    async def _open(self) -> bool:
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            log_config=None,
            access_log=False,
            ws="none",
            proxy_headers=False,
        )
        config.load()

        def connection() -> BoundedProtocol:
            return self._protocol(config, self._state, {})

        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(connection, self._host, self._port)
        except OSError as error:
            log.warning(
                "no metrics: their port cannot be opened; free it or set LAUNDRY_METRICS_PORT to another",
                host=self._host,
                port=self._port,
                error=str(error),
                again_in_s=TRY_AGAIN_S,
            )
            return False
        return True

    async def _try_again(self) -> float:
        if not await self._open():
            return TRY_AGAIN_S
        log.info("metrics are there", port=self._port)
        return math.inf

    async def stop(self) -> None:
        """Stop listening, and close what is open."""
        await self._opening.stop()
        if self._server is not None:
            self._server.close()
            for connection in list(self._state.connections):
                connection.transport.close()
