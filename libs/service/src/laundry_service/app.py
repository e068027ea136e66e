"""Assembles a service: one FastAPI app whose lifespan runs the FastStream app and its background parts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from fastapi import APIRouter, FastAPI

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.principal import Principal
from laundry_service.background.task import reraise_own_cancellation
from laundry_service.http.body_limit import BodyLimit
from laundry_service.http.caching import Caching
from laundry_service.http.health import Check, health_router
from laundry_service.http.openapi import document_problems
from laundry_service.http.outages import install_outages
from laundry_service.http.problems import install_problems
from laundry_service.http.validation import UrlValidation
from laundry_service.limits.rates import RateLimits
from laundry_service.settings import ApiSettings
from laundry_service.streams.response import Streams
from laundry_service.telemetry.details import trace_database
from laundry_service.telemetry.logging import configure_logging
from laundry_service.telemetry.tracing import configure_tracing, trace_requests

if TYPE_CHECKING:
    from laundry_service.messaging.wiring import Messaging
    from laundry_service.storage.database import Database

log = structlog.get_logger(__name__)


class Component(Protocol):
    """Something that is started and stopped with the app: a relay, a change listener, a background task."""

    async def start(self) -> None:
        """Start; must not wait for servers that may be unavailable."""

    async def stop(self) -> None:
        """Finish work in progress and stop."""


def _configure_telemetry(settings: ApiSettings, version: str, database: "Database | None") -> None:
    configure_logging(settings.service_name, settings.log_level)
    configure_tracing(settings.service_name, version)
    if database is not None:
        trace_database(database.engine)


async def _stop(started: Sequence[Component], closing: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Stop what was started, the last first, and close the rest, whatever one of them raises.

    A library may also throw CancelledError: only one that was asked of this task ends the stopping.
    """
    for component in reversed(started):
        try:
            await component.stop()
        except (Exception, asyncio.CancelledError):
            reraise_own_cancellation()
            log.exception("a part did not stop cleanly", part=type(component).__name__)
    for close in closing:
        try:
            await close()
        except (Exception, asyncio.CancelledError):
            reraise_own_cancellation()


def make_app(
    settings: ApiSettings,
    *,
    title: str,
    version: str,
    description: str,
    database: "Database | None" = None,
    messaging: "Messaging | None" = None,
    ready_without_broker: bool = False,
    background: Sequence[Component] = (),
    checks: Sequence[Check] = (),
    routers: Sequence[APIRouter] = (),
    on_close: Sequence[Callable[[], Awaitable[None]]] = (),
    large_bodies: Sequence[str] = (),
) -> FastAPI:
    """Make a service's app with logging, tracing, auth, problems, probes and metrics.

    Args:
        database: the service is ready only with it; its pool is closed at the end.
        messaging: publishes, relays and consumes; the consumer stops first, the publisher last.
        ready_without_broker: for a service that stores and relays: it answers without the broker.
        background: started in order before requests are taken, stopped in reverse.
        checks: what else readiness looks at.
        on_close: run after everything stopped (clients and processes to close).
        large_bodies: paths whose endpoints limit their bodies themselves; all others accept 64 KiB.
    """
    _configure_telemetry(settings, version, database)
    authenticator = Authenticator.of(settings)
    stopping = asyncio.Event()

    def still_welcome(principal: Principal) -> bool:
        found: Authenticator = app.state.authenticator
        return found.allows(principal)

    streams = Streams(
        per_person=settings.streams_per_person,
        per_branch=settings.streams_per_branch,
        in_all=settings.streams_at_most,
        max_s=settings.stream_max_s,
        stopping=stopping,
        allows=still_welcome,
    )
    components: list[Component] = [authenticator, *background, streams]
    if messaging is not None:
        # What is received and what runs beside may still publish while it ends.
        components[1:1] = messaging.senders
        components += messaging.receivers
    closing = [*on_close, *([database.close] if database is not None else [])]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        started: list[Component] = []
        try:
            for component in components:
                await component.start()
                started.append(component)
            log.info("started", version=version)
            yield
        finally:
            await _stop(started, closing)
            log.info("stopped")

    app = FastAPI(
        title=title, version=version, description=description, lifespan=lifespan, redirect_slashes=False
    )
    app.state.service_name = settings.service_name
    app.state.stopping = stopping
    app.state.streams = streams
    app.state.trusted_proxies = settings.trusted_proxies
    app.state.authenticator = authenticator
    app.state.rate_limits = RateLimits(settings.rate_limits)
    looked_at = [*([Check("database", database.ping)] if database is not None else []), *checks]
    if settings.deny_list_url:
        # Nobody is let in before the first read; afterwards the last list counts while it is unavailable.
        looked_at.append(Check("deny list", authenticator.knows_who_is_denied))
    if messaging is not None:
        looked_at += messaging.checks(required=not ready_without_broker)
    app.include_router(health_router(looked_at))
    install_problems(app)
    install_outages(app)
    app.add_middleware(BodyLimit, elsewhere=large_bodies)
    app.add_middleware(Caching)
    app.add_middleware(UrlValidation)
    document_problems(app)
    trace_requests(app)
    for router in routers:
        app.include_router(router)
    return app
