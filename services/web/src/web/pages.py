"""The static front end and its security headers."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

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
