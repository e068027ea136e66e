"""Puts a service together: one FastAPI app whose lifespan runs the FastStream app and what belongs to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from fastapi import FastAPI

from laundry_service.auth import Authenticator, Principal
from laundry_service.body_limit import BodyLimit
from laundry_service.caching import Caching
from laundry_service.health import Check, health_router
from laundry_service.limits import RateLimits
from laundry_service.logging import configure_logging
from laundry_service.openapi import document_problems
from laundry_service.outages import install_outages
from laundry_service.problems import install_problems
from laundry_service.request_text import PlainAddress
from laundry_service.settings import ServiceSettings
from laundry_service.streams import Streams
from laundry_service.tracing import configure_tracing, trace_requests

if TYPE_CHECKING:
    from laundry_events import Publisher
    from laundry_events.broker import ConsumingBroker

log = structlog.get_logger(__name__)


CLOSE_S = 5.0


class Part(Protocol):
    """Something with a life of its own: a relay, a change listener, a periodic job."""

    async def start(self) -> None:
        """Begin; must not wait for servers that may be away."""

    async def stop(self) -> None:
        """Finish what is in hand and end."""


class Consuming:
    """The FastStream app as a part: starts in the background, so that a missing broker stops nothing else."""

    def __init__(
        self, broker: "ConsumingBroker", able: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Take the broker with its subscribers registered, and what returns once messages can be handled."""
        from faststream import FastStream  # noqa: PLC0415 - who consumes nothing need not hold it

        self.broker = broker
        self._able = able
        self.faststream = FastStream(broker)
        self.started = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect and subscribe."""
        self._task = asyncio.create_task(self._start(), name="consume")

    async def _start(self) -> None:
        pause_s = 0.5
        if self._able is not None:
            # Until then they are for the other replicas.
            await self._able()
        while True:
            self._begun = True
            try:
                await self.faststream.start()
            except (Exception, asyncio.CancelledError) as error:
                _raise_if_cancelled()
                log.warning(
                    "cannot consume yet", error=f"{type(error).__name__}: {error}", again_in_s=pause_s
                )
                await self._clear_away()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5)
            else:
                self.started = True
                log.info("consuming")
                return

    async def stop(self) -> None:
        """Take no more, finish what is in hand within the graceful timeout, close."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.started:
            await self.faststream.stop()
        elif self._begun:
            await self._clear_away(within_s=CLOSE_S)

    async def _clear_away(self, within_s: float | None = None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self.broker.stop()
        except (Exception, asyncio.CancelledError):
            _raise_if_cancelled()

    async def taking(self) -> bool:
        """Whether messages are handled, not held for a server that is away."""
        return self.broker.paused_for is None

    async def settles(self) -> bool:
        """Whether messages that are taken come to an end; if not, nobody should count on this process."""
        return self.broker.settles

    async def healthy(self) -> bool:
        """Whether subscribers were started and the connection is up."""
        return self.started and await self.broker.ping(timeout=1.0)


def _raise_if_cancelled() -> None:
    """Go on with a cancellation that somebody asked for.

    The AMQP library throws one into what waits on a connection that goes; that is a failure like any other.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def make_app(  # noqa: PLR0915 - the order in which an app is put together
    settings: ServiceSettings,
    *,
    title: str,
    version: str,
    description: str,
    parts: Sequence[Part] = (),
    checks: Sequence[Check] = (),
    publisher: "Publisher | None" = None,
    broker: "ConsumingBroker | None" = None,
    broker_required: bool = True,
    able: Callable[[], Awaitable[object]] | None = None,
    on_close: Sequence[Callable[[], Awaitable[None]]] = (),
    large_bodies: Sequence[str] = (),
) -> FastAPI:
    """Make a service's app with logging, tracing, auth, problems, probes and metrics.

    Args:
        parts: started in order before requests are taken, stopped in reverse.
        publisher, broker: started here; the consumer stops first, the publisher last.
        broker_required: whether readiness needs the broker (not where the service stores and relays).
        able: returns once this process can handle messages; none is taken before.
        on_close: run after everything stopped (pools to close).
        large_bodies: paths whose endpoints bound their bodies themselves; any other takes 64 KiB.
    """
    configure_logging(settings.service_name, settings.log_level)
    configure_tracing(settings.service_name, version)
    consuming = Consuming(broker, able) if broker is not None else None
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
    running: list[Part] = [authenticator, *([publisher] if publisher is not None else [])]
    running += [*parts, streams, *([consuming] if consuming is not None else [])]

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        started: list[Part] = []
        try:
            for part in running:
                await part.start()
                started.append(part)
            log.info("started", version=version)
            yield
        finally:
            for part in reversed(started):
                try:
                    await part.stop()
                except Exception:
                    log.exception("a part did not stop cleanly", part=type(part).__name__)
            for close in on_close:
                with contextlib.suppress(Exception):
                    await close()
            log.info("stopped")

    app = FastAPI(
        title=title, version=version, description=description, lifespan=lifespan, redirect_slashes=False
    )
    app.state.stopping = stopping
    app.state.streams = streams
    app.state.trusted_proxies = settings.trusted_proxies
    app.state.authenticator = authenticator
    app.state.rate_limits = RateLimits(settings.rate_limits)
    broker_checks: list[Check] = []
    if settings.deny_list_url:
        # Until it was read once nobody is let in; afterwards the last one counts while it is away.
        broker_checks.append(Check("deny list", authenticator.knows_who_is_denied))
    if publisher is not None:
        broker_checks.append(Check("publisher", _connected(publisher), required=broker_required))
        # Only told: an alarm of the broker holds back every service alike.
        broker_checks.append(Check("publishing", publisher.can_publish, required=False))
    if consuming is not None:
        broker_checks.append(Check("consumer", consuming.healthy, required=broker_required))
        broker_checks.append(Check("settling messages", consuming.settles))
        # Only told: the server that is waited for has a check of its own where readiness needs it.
        broker_checks.append(Check("taking messages", consuming.taking, required=False))
    app.include_router(health_router([*checks, *broker_checks]))
    install_problems(app)
    install_outages(app)
    app.add_middleware(BodyLimit, elsewhere=large_bodies)
    app.add_middleware(Caching)
    app.add_middleware(PlainAddress)
    document_problems(app)
    trace_requests(app)
    return app


def _connected(publisher: "Publisher") -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return publisher.connected

    return probe
