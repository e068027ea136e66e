"""Builds the web app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from laundry_catalogue import proxied_services
from laundry_service.auth.authenticator import Authenticator
from laundry_service.http.caching import Caching
from laundry_service.http.health import health_router
from laundry_service.http.problems import install_problems
from laundry_service.http.security_headers import SecurityHeaders
from laundry_service.http.validation import UrlValidation
from laundry_service.settings import version_of
from laundry_service.telemetry.logging import configure_logging
from laundry_service.telemetry.tracing import configure_tracing, trace_requests
from web import pages, proxy
from web.auth import routes
from web.auth.clients import clients_of
from web.auth.signing_in import SigningIn
from web.forwarding import Upstream
from web.settings import ProxySettings, WebSettings


def create_app(settings: ProxySettings | None = None) -> FastAPI:
    """Make the app; without settings they are read from the environment."""
    settings = settings or WebSettings()
    version = version_of("web")
    configure_logging(settings.service_name, settings.log_level)
    configure_tracing(settings.service_name, version)
    upstreams = [
        Upstream(service.name, settings.url_of(service), frozenset(service.proxied))
        for service in proxied_services()
    ]
    stopping = asyncio.Event()
    authenticator = Authenticator.of(settings) if clients_of(settings) else None
    signing_in = SigningIn(settings, authenticator)
    forwarder = proxy.Proxy(settings, signing_in, stopping)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if authenticator is not None:
            await authenticator.start()
        yield
        if authenticator is not None:
            await authenticator.stop()
        await forwarder.close()

    app = FastAPI(
        title="Smart Fitness Laundry pages",
        version=version,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.service_name = settings.service_name
    app.state.stopping = stopping
    app.state.trusted_proxies = settings.trusted_proxies
    app.include_router(health_router([]))
    app.include_router(routes.router(signing_in))
    app.include_router(proxy.router(forwarder, upstreams))
    app.include_router(pages.router())
    app.add_middleware(UrlValidation)
    app.add_middleware(SecurityHeaders, headers=pages.headers_of, public_https=settings.by_tls)
    app.add_middleware(Caching)
    install_problems(app)
    trace_requests(app)
    return app
