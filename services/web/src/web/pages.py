"""The static front end and its security headers."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laundry_service.http.client_address import came_by_tls

STATIC = Path(__file__).parent / "static"

# Scripts, styles and calls from here only, none inline; photos are shown from blobs. Trusted Types leave one
# policy, which names the service worker.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        # WebKit asks this, too, before it shows a photo on a page that has a service worker.
        "connect-src 'self' blob:",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types laundry",
    ]
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(), usb=()",
}
# Cached but revalidated each time (ETag): a new version is used at the next visit.
REVALIDATE = {"Cache-Control": "no-cache"}


# A year, and only for this host: what else lies below its domain is not ours to decide.
HSTS = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware that adds the security headers to every answer, the services' included."""

    def __init__(self, app: ASGIApp, *, public_https: bool = False) -> None:
        """Wrap an app; browsers are bound to TLS where it is public over HTTPS, or a request came so."""
        self.app = app
        self._public_https = public_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app and add headers to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        by_tls = self._public_https or came_by_tls(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                # Valid over TLS only (RFC 6797 §7.2), so a service's own header is dropped.
                del headers["Strict-Transport-Security"]
                if by_tls:
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RevalidatedFiles(StaticFiles):
    """Static files that browsers revalidate."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer with the file, or 304."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(REVALIDATE)
        return response


def router() -> APIRouter:
    """Make the page routes: one document, whose script renders the page for the path and the role."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    @routes.get("/helper")
    @routes.get("/owner")
    @routes.get("/operator")
    async def document() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=REVALIDATE)

    @routes.get("/privacy")
    async def privacy() -> FileResponse:
        return FileResponse(STATIC / "privacy.html", headers=REVALIDATE)

    @routes.get("/sw.js")
    async def service_worker() -> FileResponse:
        # From the root, because a worker serves only what lies below its own address.
        return FileResponse(STATIC / "sw.js", headers=REVALIDATE)

    return routes
