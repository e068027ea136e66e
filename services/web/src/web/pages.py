"""The static front end and its security headers."""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from laundry_service.http.caching import is_known

STATIC = Path(__file__).parent / "static"

ROLES = ("helper", "owner", "operator", "customer")

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


def modules(role: str | None = None) -> list[str]:
    """Return the path of every module that a role's page needs at once; of none, of the start page."""
    first = ["main.js"] if role is None else ["main.js", f"{role}-page.js"]
    found = [STATIC / "js" / name for name in first]
    for module in found:
        for names in IMPORTED.findall(module.read_text()):
            imported = (module.parent / "".join(names)).resolve()
            if imported not in found:
                found.append(imported)
    return [f"/static/{path.relative_to(STATIC)}" for path in found]


STYLED = re.compile(r'<link rel="stylesheet" href="/static/(css/[^"]+)" />\n    ')
STYLES = "/static/pages.css"


def stylesheet() -> bytes:
    """Return all style sheets that the document names, in its order, as one: a paint waits for each."""
    names = STYLED.findall((STATIC / "index.html").read_text())
    return "\n".join((STATIC / name).read_text() for name in names).encode()


def document(role: str | None = None) -> bytes:
    """Return the one document. It names a role's modules: a browser else learns of each from another."""
    head, *others = STYLED.split((STATIC / "index.html").read_text())[::2]
    styles = f'<link rel="stylesheet" href="{STYLES}" />\n    '
    links = "".join(
        f'<link rel="modulepreload" href="{path}" fetchpriority="low" />\n    ' for path in modules(role)
    )
    first = '<script type="module"'
    return "".join([head, styles, *others]).replace(first, f"{links}{first}", 1).encode()


class Made:
    """What is made of the static files as the service starts; compressed for who takes that."""

    def __init__(self, content: bytes, media_type: str) -> None:
        """Take what it is."""
        self._plain = content
        self._packed = gzip.compress(content, mtime=0)
        self._media_type = media_type
        self._etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        """Answer with it, or 304."""
        headers = {**REVALIDATE, "ETag": self._etag, "Vary": "Accept-Encoding"}
        if is_known(self._etag, request.headers.get("If-None-Match")):
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return Response(self._plain, media_type=self._media_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(self._packed, media_type=self._media_type, headers=headers)


def router() -> APIRouter:
    """Make the page routes: one document, whose script renders the page for the path and the role."""
    routes = APIRouter(include_in_schema=False)
    made = {"/": document(), **{f"/{role}": document(role) for role in ROLES}}
    documents = {path: Made(content, "text/html") for path, content in made.items()}
    styles = Made(stylesheet(), "text/css")

    @routes.get("/")
    @routes.get("/helper")
    @routes.get("/owner")
    @routes.get("/operator")
    @routes.get("/customer")
    async def page(request: Request) -> Response:
        return documents[request.url.path].answer(request)

    @routes.get(STYLES)
    async def all_styles(request: Request) -> Response:
        return styles.answer(request)

    @routes.get("/unsubscribe")
    async def unsubscribe() -> FileResponse:
        # For people who are not signed in: the key is in the fragment, which no server sees.
        return FileResponse(STATIC / "unsubscribe.html", headers=REVALIDATE)

    @routes.get("/privacy")
    async def privacy() -> FileResponse:
        return FileResponse(STATIC / "privacy.html", headers=REVALIDATE)

    @routes.get("/sw.js")
    async def service_worker() -> FileResponse:
        # From the root, because a worker serves only what lies below its own address.
        return FileResponse(STATIC / "sw.js", headers=REVALIDATE)

    return routes
