"""What may be cached of every answer: nothing but what this table names, and never for another caller."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

from laundry.contracts import FOLDER, app_of
from laundry_catalogue import documented_services, proxied_services, service
from laundry_service.http.caching import ASKED_AGAIN
from web.app import create_app as create_web
from web.settings import WebSettings

ROOT = Path(__file__).parents[2]
# Endpoints that set caching headers themselves; each has its own test of its real answer.
EXCEPTIONS = {
    # The photo of a task: revalidated each time with the caller's token.
    "services/helper/src/helper/api/photos.py": {"ASKED_AGAIN"},
    # Pages and scripts, the same for everybody: revalidated each time, or by an address for good.
    "services/web/src/web/pages.py": {"kept"},
    # The style sheet of the sign-in pages, the same for everybody: revalidated each time.
    "services/identity/src/identity/style.py": {"public"},
    "libs/service/src/laundry_service/http/problems.py": {"no-store"},
    "libs/service/src/laundry_service/streams/response.py": {"no-store"},
}
WEB = ("/", "/helper", "/owner", "/operator", "/customer", "/sw.js", "/static/js/main.js")


@pytest.mark.parametrize("name", [each.name for each in documented_services()])
async def test_no_cache_keeps_what_a_service_answers(name: str) -> None:
    paths = json.loads((FOLDER / f"{name}.openapi.json").read_text())["paths"]
    read = [path for path, operations in paths.items() if "get" in operations]
    assert read
    app = app_of(service(name))
    _answer_ok(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for path in ("/answered", *read):
            filled = re.sub(r"{\w+}", "00000000-0000-0000-0000-000000000000", path)
            answer = await client.get(filled)
            assert answer.headers["cache-control"] == "no-store", (path, answer.text)
            assert "Authorization" in answer.headers["vary"], path
            assert path != "/answered" or answer.status_code == 200


def _answer_ok(app: FastAPI) -> None:
    """Add an endpoint that sets no caching headers, like all of the service's but the exceptions."""

    @app.get("/answered")
    async def answered() -> Response:
        return Response("whatever")

    # Before what answers at all other paths: the identity service has such an app.
    app.router.routes.insert(0, app.router.routes.pop())


@pytest.mark.parametrize("path", [*WEB, "/api/helper/none", "/nothing"])
async def test_pages_are_asked_for_again_and_the_rest_of_web_is_not_kept(path: str) -> None:
    nowhere = "http://127.0.0.1:9"
    urls: dict[str, Any] = {each.url_key: nowhere for each in proxied_services()}
    app = create_web(WebSettings(**urls))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as client:
        answer = await client.get(path)
    assert answer.headers["cache-control"] == ("no-cache" if path in WEB else "no-store")
    assert "Authorization" in answer.headers["vary"]


def test_nobody_else_says_what_may_be_kept() -> None:
    said: dict[str, set[str]] = {}
    for folder in ("libs", "services"):
        for file in (ROOT / folder).glob("*/src/**/*.py"):
            name = str(file.relative_to(ROOT))
            text = file.read_text()
            # Stand-ins for FCM and the identity provider answer with headers of their own.
            if name.endswith("laundry_service/http/caching.py") or name.startswith("libs/servers/"):
                continue
            if "cache-control" not in text.lower():
                continue
            said[name] = set(re.findall(r'"Cache-Control": "?(.+?)["},\n]', text))
    assert said == EXCEPTIONS
    assert ASKED_AGAIN == "private, no-cache"
