"""The HTTP server of every process: uvicorn with limits, streams that end first, and a metrics port."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import threading

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from laundry_service.garbage import look_seldom
from laundry_service.http.protocol import bounded_protocol
from laundry_service.http.settings import HttpSettings
from laundry_service.telemetry.metrics_server import MetricsServer, not_found
from laundry_service.telemetry.switching import TelemetrySwitching

# Reserved for files that are not client connections: logs, databases, the broker, other services.
OTHER_FILES = 400
END_S = 15.0
"""What is left to do after the server has stopped may take so long: a mail is given up after ten seconds."""

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Ends open streams before it waits for requests to finish."""

    def __init__(self, app: FastAPI, settings: HttpSettings) -> None:
        """Take an app; its ``state.stopping`` is set when the end begins."""
        super().__init__(server_config(app, settings))
        self._app = app
        self._stopping: asyncio.Event = app.state.stopping
        self._metrics = MetricsServer(settings, self._health)
        service = getattr(app.state, "service_name", app.title)
        self._switching = TelemetrySwitching(settings.telemetry_folder, service)
        self._database = _database_of(settings)
        self._looking: asyncio.Task[None] | None = None
        self.refused = False

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, once it is started: at a port that others share, theirs could come."""
        await (self._app if self.started else not_found)(scope, receive, send)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the metrics port beside the app, already during startup.

        Older code than its database's ends here with a sentence; while the database is away, once it is back.
        """
        if self._database is not None and not await self._may_use(*self._database):
            return
        await self._metrics.start()
        await self._switching.start()
        await super().startup(sockets)
        look_seldom()

    async def _may_use(self, package: str, url: str) -> bool:
        from laundry_service.storage.revision import NewerDatabase, refuse_newer  # noqa: PLC0415 - as below

        try:
            seen = await refuse_newer(package, url)
        except NewerDatabase as refusal:
            self._refuse(refusal)
            return False
        if not seen:
            self._looking = asyncio.create_task(self._look(package, url))
        return True

    async def _look(self, package: str, url: str) -> None:
        # Needless without a database, and 20 MB.
        from laundry_service.storage.revision import NewerDatabase, refuse_newer_once_seen  # noqa: PLC0415

        try:
            await refuse_newer_once_seen(package, url)
        except NewerDatabase as refusal:
            self._refuse(refusal)

    def _refuse(self, refusal: Exception) -> None:
        log.critical("not started", reason=str(refusal))
        self.refused = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, finish the rest."""
        if self._looking is not None:
            self._looking.cancel()
        self._stopping.set()
        await super().shutdown(sockets)
        await self._switching.stop()
        await self._metrics.stop()


def server_config(app: FastAPI, settings: HttpSettings) -> uvicorn.Config:
    """Configure uvicorn: bounded, silent about itself, believing no proxy's headers on its own."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=bounded_protocol(settings),
        ws="none",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=int(settings.graceful_timeout_s),
        # Looked after by the protocol too, which also sees connections that never asked anything.
        timeout_keep_alive=int(settings.http_idle_timeout_s) or 1,
    )


def serve(app: FastAPI, settings: HttpSettings) -> None:
    """Serve until SIGTERM or SIGINT; requests and messages in progress are finished first.

    ``app.state.stopping`` is set when the end begins: an endpoint that streams without end waits for it too.
    """
    _allow_files(settings.http_connections + OTHER_FILES)
    server = Server(app, settings)
    # uvicorn raises the signal again after it has stopped. By default that kills a process before its last
    # spans are sent, and does nothing to the first process of a container: here both end alike.
    signal.signal(signal.SIGTERM, _end)
    try:
        listeners = [_shared(settings)] if settings.share_port else None
    except OSError as error:
        log.critical("not started", reason=f"port {settings.port} cannot be shared: {error.strerror}")
        sys.exit(3)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(listeners)
    if not server.started or server.refused:
        sys.exit(3)


def _shared(settings: HttpSettings) -> socket.socket:
    """Open the port so that others may too. Raises OSError: somebody has it who does not share it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A thread that hangs (a name server that does not answer) would keep Python from ending.
    late = threading.Timer(END_S, os._exit, args=(0,))
    late.daemon = True
    late.start()
    sys.exit(0)


def _database_of(settings: HttpSettings) -> tuple[str, str] | None:
    """The package whose settings these are, which has the migrations too, and the address of its database."""
    url = getattr(settings, "database_url", None)
    return (type(settings).__module__.partition(".")[0], url.get_secret_value()) if url else None


def _allow_files(wanted: int) -> None:
    """Raise the limit of open files, or log that it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    can = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (can, hard))
    if can < wanted:
        log.warning(
            "fewer files may be open than connections are allowed; raise `ulimit -Hn` or lower"
            " LAUNDRY_HTTP_CONNECTIONS",
            files=can,
            wanted=wanted,
        )
