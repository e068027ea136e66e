"""The web service as a browser reaches it, and what a test does on the way, where a driver cannot."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laundry_testing.cable import Cable
from laundry_testing.serving import serving

SCRIPT = "/before.js"
COMPLAINTS = "/complaints"
SIGNED_IN = "/signed-in"
FIRST = b'<script type="module"'


class Site:
    """Where the pages are, over a cable that can be pulled out.

    A browser whose driver runs no script before the page's own gets it with the page (``script``), which may
    also send what it finds wrong to ``/complaints``.
    """

    def __init__(self, cable: Cable) -> None:
        self.address = f"http://127.0.0.1:{cable.port}"
        self.cable = cable
        self.script: str | None = None
        self.complaints: list[str] = []

    def signed_in(self, sealed: str, path: str) -> str:
        """Return an address that gives the browser a session's cookie, as a sign-in does, and leads on."""
        return f"{SIGNED_IN}?{urlencode({'sealed': sealed, 'path': path})}"


class ScriptFirst:
    """ASGI middleware that puts a site's script in front of the page's own; the security headers stay."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self.app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        script = self._site.script
        if scope["type"] == "http" and scope["path"] == SIGNED_IN:
            asked = Request(scope).query_params
            response = RedirectResponse(asked["path"], 303)
            response.set_cookie("laundry", asked["sealed"], httponly=True, samesite="strict")
            await response(scope, receive, send)
        elif scope["type"] != "http" or script is None:
            await self.app(scope, receive, send)
        elif scope["path"] == SCRIPT:
            await Response(script, media_type="text/javascript")(scope, receive, send)
        elif scope["path"] == COMPLAINTS:
            self._site.complaints.append((await Request(scope, receive).body()).decode())
            await Response(status_code=204)(scope, receive, send)
        elif scope["path"].startswith(("/static/", "/api/", "/auth/")):
            await self.app(scope, receive, send)
        else:
            await self.app(_whole(scope), receive, _Changed(send))


def _whole(scope: Scope) -> Scope:
    """Ask for all of it and as it is: what the browser has kept may be without the script."""
    left_out = (b"if-", b"accept-encoding")
    kept = [(name, value) for name, value in scope["headers"] if not name.startswith(left_out)]
    return {**scope, "headers": kept}


class _Changed:
    """Sends a document with one more script."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        assert self._start is not None
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self._body.replace(FIRST, f'<script src="{SCRIPT}"></script>'.encode() + FIRST, 1)
        headers = MutableHeaders(scope=self._start)
        headers["Content-Length"] = str(len(body))
        del headers["ETag"]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(make: Callable[[str], FastAPI], cable: Cable | None = None) -> AsyncIterator[Site]:
    """Serve the web service to browsers, made for the address that they have."""
    cable = cable or Cable()
    site = Site(cable)
    app = make(site.address)
    app.add_middleware(ScriptFirst, site=site)
    async with serving(app) as client:
        await cable.plug(client.base_url.host, client.base_url.port or 80)
        yield site
        await cable.pull()
