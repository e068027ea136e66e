"""The static front end and its security headers."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from laundry_service.http.caching import is_known

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
        # Weak, as the same file goes out compressed and plain.
        if not response.headers["ETag"].startswith("W/"):
            response.headers["ETag"] = f"W/{response.headers['ETag']}"
        return response


IMPORTED = re.compile(r'^(?:import|export) .*?"(\.[^"]+\.js)"|^} from "(\.[^"]+\.js)"', re.MULTILINE)


def modules() -> list[str]:
    """Return the path of every module that the pages' first one imports, directly or not, itself first."""
    found = [STATIC / "js" / "main.js"]
    for module in found:
        for names in IMPORTED.findall(module.read_text()):
            imported = (module.parent / "".join(names)).resolve()
            if imported not in found:
                found.append(imported)
    return [f"/static/{path.relative_to(STATIC)}" for path in found]


def document() -> bytes:
    """Return the one document, which names all modules: a browser else learns of each from another one."""
    links = "".join(f'<link rel="modulepreload" href="{path}" />\n    ' for path in modules())
    first = '<script type="module"'
    return (STATIC / "index.html").read_text().replace(first, f"{links}{first}", 1).encode()


def router() -> APIRouter:
    """Make the page routes: one document, whose script renders the page for the path and the role."""
    routes = APIRouter(include_in_schema=False)
    content = document()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    @routes.get("/")
    @routes.get("/helper")
    @routes.get("/owner")
    @routes.get("/operator")
    @routes.get("/customer")
    async def page(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        headers = {**REVALIDATE, "ETag": etag}
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="text/html", headers=headers)

    @routes.get("/privacy")
    async def privacy() -> FileResponse:
        return FileResponse(STATIC / "privacy.html", headers=REVALIDATE)

    @routes.get("/sw.js")
    async def service_worker() -> FileResponse:
        # From the root, because a worker serves only what lies below its own address.
        return FileResponse(STATIC / "sw.js", headers=REVALIDATE)

    return routes
