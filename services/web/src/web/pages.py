"""The static front end and its security headers."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from laundry_service.http.caching import is_known
from web.files import File, media_type_of, sources, version_of, without_comments
from web.modules import Modules, data_of, with_data_inside

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
# A script or a sheet is neither a document nor a worker: what binds these would be most of what it costs.
PART_HEADERS = {
    name: SECURITY_HEADERS[name] for name in ("X-Content-Type-Options", "Cross-Origin-Resource-Policy")
}
PART = re.compile(r"/static/.+(?<!-worker)\.(js|css)")

STYLED = re.compile(r'<link rel="stylesheet" href="/static/(css/[^"]+)" />\n    ')
STYLES = "pages.css"
SCRIPT = '<script type="module"'
UNSUBSCRIBE = "js/unsubscribe-page.js"
# What is served at addresses of its own, and the notice's style sheet: it is read once, and with a signal.
NOT_KEPT = {
    "index.html", "unsubscribe.html", "privacy.html", "privacy-notices.html", "privacy.css", "sw.js"
}  # fmt: skip
NOTICES = "<!-- notices -->"
VERSIONED = re.compile(r"([0-9a-f]{16})/(.+)")

# Kept, but asked for again each time (ETag): a new version is used at the next visit.
AGAIN = "no-cache"
# The address says what is in it.
FOR_GOOD = "public, max-age=31536000, immutable"


def answer(file: File, request: Request, *, kept: str = AGAIN) -> Response:
    """Answer with a file, or 304; ``kept`` is the ``Cache-Control``."""
    headers = {"Cache-Control": kept, "ETag": file.etag}
    if file.packed is not None:
        headers["Vary"] = "Accept-Encoding"
    if is_known(file.etag, request.headers.get("If-None-Match")):
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = file.packed
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=file.media_type, headers=headers)


def headers_of(path: str) -> Mapping[str, str]:
    """Return the security headers of what is at a path."""
    return PART_HEADERS if PART.fullmatch(path) else SECURITY_HEADERS


class FrontEnd:
    """What is served of the front end, made of its files.

    Scripts and styles have addresses that change with their content (``/static/<version>/js/main.js``), so
    that a browser keeps them for good. Modules import each other by relative paths, which stay there.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Take what is in each file, by its path."""
        self._data = data_of(files)
        self._sources = {
            path: with_data_inside(path, content, self._data) if path.endswith(".js") else content
            for path, content in files.items()
        }
        self.modules = Modules(self._sources)
        sheets = STYLED.findall(self._sources["index.html"].decode())
        # One style sheet, as painting waits for each.
        self._sources[STYLES] = b"\n".join(self._sources[sheet] for sheet in sheets)
        self.files = {
            path: File(without_comments(content) if path.endswith(".js") else content, media_type_of(path))
            for path, content in self._sources.items()
            if path not in NOT_KEPT or path == "privacy.css"
        }
        served = {path: file.content for path, file in self.files.items()}
        self.version = version_of(
            repr(SECURITY_HEADERS).encode(),
            *(part for path, content in sorted(served.items()) for part in (path.encode(), content)),
            *(self._sources[path] for path in sorted(NOT_KEPT)),
            *(self.document(*page, version="").encode() for page in self._pages()),
        )
        html = "text/html"
        self.documents = {page: File(self.document(*page).encode(), html) for page in self._pages()}
        self.unsubscribe = File(
            self._with_modules("unsubscribe.html", self.modules.behind(UNSUBSCRIBE), self.version).encode(),
            html,
        )
        notices = self._sources["privacy-notices.html"]
        self.privacy = File(self._sources["privacy.html"].replace(NOTICES.encode(), notices), html)
        self.service_worker = File(self._service_worker().encode(), media_type_of("sw.js"))

    def _pages(self) -> Iterable[tuple[str | None, str | None]]:
        """Every page: the start page, each role's, and each role's with each view open."""
        yield None, None
        for role in ROLES:
            yield role, None
            yield from ((role, view) for view in self.modules.views_of(role))

    def page(self, role: str | None, view: str | None) -> File:
        """Return the document of a page."""
        return self.documents.get((role, view)) or self.documents[role, None]

    def document(
        self, role: str | None = None, view: str | None = None, *, version: str | None = None
    ) -> str:
        """Return the one document; it names the modules of a page."""
        version = self.version if version is None else version
        return self._with_modules("index.html", self.modules.of_page(role, view), version)

    def _with_modules(self, name: str, modules: list[str], version: str) -> str:
        text = self._sources[name].decode()
        head, *others = STYLED.split(text)[::2]
        if others:
            text = "".join([head, f'<link rel="stylesheet" href="/static/{STYLES}" />\n    ', *others])
        links = "".join(
            f'<link rel="modulepreload" href="/static/{path}" fetchpriority="low" />\n    '
            for path in modules
        )
        text = text.replace(SCRIPT, f"{links}{SCRIPT}", 1)
        return re.sub(rf'"/static/(js/|{re.escape(STYLES)}")', rf'"/static/{version}/\1', text)

    @property
    def service_worker_keeps(self) -> list[str]:
        """The files that a phone keeps beside the documents, but for those that are inside of others."""
        inside = NOT_KEPT | self._data.keys()
        return sorted(path for path in self._sources if path not in inside and not path.startswith("css/"))

    def _service_worker(self) -> str:
        """Return the service worker, which is told what to keep on a phone."""
        text = self._sources["sw.js"].decode()
        for line, filled in (
            ('const VERSION = "";', f'const VERSION = "{self.version}";'),
            (
                "const FILES = [];",
                "const FILES = [\n" + "".join(f'  "{path}",\n' for path in self.service_worker_keeps) + "];",
            ),
        ):
            if text.count(line) != 1:
                raise ValueError(f"sw.js has no place for {line}")
            text = text.replace(line, filled)
        return text


@cache
def front_end() -> FrontEnd:
    """Return the front end of this package."""
    return FrontEnd(sources())


def router() -> APIRouter:
    """Make the page routes: one document, whose script renders the page for the path and the role."""
    routes = APIRouter(include_in_schema=False)
    front_end()

    @routes.get("/")
    @routes.get("/helper")
    @routes.get("/owner")
    @routes.get("/operator")
    @routes.get("/customer")
    async def page(request: Request, view: str | None = None) -> Response:
        return answer(front_end().page(request.url.path.strip("/") or None, view), request)

    @routes.api_route("/static/{path:path}", methods=["GET", "HEAD"])
    async def static(request: Request, path: str) -> Response:
        versioned = VERSIONED.fullmatch(path)
        version, name = versioned.groups() if versioned else ("", path)
        front = front_end()
        file = front.files.get(name)
        if file is None:
            raise HTTPException(404)
        # During a rolling update a page of one replica may ask another, which has only its own version.
        return answer(file, request, kept=FOR_GOOD if version == front.version else AGAIN)

    @routes.get("/unsubscribe")
    async def unsubscribe(request: Request) -> Response:
        # For people who are not signed in: the key is in the fragment, which no server sees.
        return answer(front_end().unsubscribe, request)

    @routes.get("/privacy")
    async def privacy(request: Request) -> Response:
        return answer(front_end().privacy, request)

    @routes.get("/sw.js")
    async def service_worker(request: Request) -> Response:
        # From the root, because a worker serves only what lies below its own address.
        return answer(front_end().service_worker, request)

    return routes
