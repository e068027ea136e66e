"""``make lighthouse``: every view as it opens, on a throttled phone, by Google's Lighthouse.

Lighthouse drives the browser that a person is signed in with: its own tabs see the same session. The pages
come by TLS and HTTP/2, as through an ingress; with ``LAUNDRY_LIGHTHOUSE_HTTP=1`` by HTTP/1.1, which is what
the web service itself speaks.
"""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, async_playwright

from .browsers import Engine
from .browsers.page import PATIENCE_MS
from .browsers.programs import program
from .browsers.site import Site
from .conftest import OpenPage
from .fake_operations import FakeOperations
from .fake_services import FakeServices
from .views import VIEWS, View, World, as_it_opens, brought_about

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOLDER = Path(__file__).parents[3] / "build" / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices")
LEAST = 0.95
LIMIT_S = 180


class Person:
    """One browser profile for everything, which another program may drive, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @asynccontextmanager
    async def context(
        self, site: Site, *, viewport: dict[str, int], locale: str, dark: bool, complaints: list[str]
    ) -> AsyncIterator[BrowserContext]:
        arguments = [
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--ignore-certificate-errors",
        ]
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                self._folder,
                executable_path=program("chromium"),
                args=[*arguments, f"--remote-debugging-port={self.port}"],
                base_url=site.address,
                locale=locale,
            )
            context.set_default_timeout(PATIENCE_MS)
            yield context
            await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def engine(tmp_path: Path) -> Engine:
    """A browser for one person."""
    return Person(tmp_path)


@asynccontextmanager
async def by_http2(address: str, folder: Path) -> AsyncIterator[str]:
    """Put TLS and HTTP/2 in front of an address; give the new one."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    *node, _ = shlex.split(os.environ["LAUNDRY_LIGHTHOUSE"].partition("/index.js")[0])
    command = [*node, *map(str, (Path(__file__).with_name("ingress.mjs"), certificate, key)), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LIMIT_S):
                port = int(await asyncio.to_thread(process.stdout.readline))
            yield f"https://127.0.0.1:{port}"
        finally:
            # What started it, too.
            os.killpg(process.pid, signal.SIGTERM)


async def report(address: str, port: int, name: str) -> dict[str, Any]:
    """Let Lighthouse look at an address in the running browser."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    output = FOLDER / name
    process = await asyncio.create_subprocess_exec(
        *shlex.split(os.environ["LAUNDRY_LIGHTHOUSE"]),
        address,
        f"--port={port}",
        f"--only-categories={','.join(CATEGORIES)}",
        "--output=json",
        "--output=html",
        f"--output-path={output}",
        "--quiet",
    )
    async with asyncio.timeout(LIMIT_S):
        assert await process.wait() == 0
    found: dict[str, Any] = json.loads(output.with_name(f"{name}.report.json").read_text())
    return found


@pytest.mark.parametrize(
    "view", [view for view in VIEWS if view.act is as_it_opens], ids=lambda view: view.name
)
async def test_scores(
    open_page: OpenPage, engine: Person, services: FakeServices, view: View, tmp_path: Path
) -> None:
    view.fill(World(services, FakeOperations(services.app, letters=0)))
    page = await open_page(view.path, role=view.role, branches=view.branches, locale="ko-KR")
    async with AsyncExitStack() as stack:
        if os.environ.get("LAUNDRY_LIGHTHOUSE_HTTP") != "1":
            origin = await page.evaluate("location.origin")
            await page.goto(await stack.enter_async_context(by_http2(origin, tmp_path)) + view.path)
        await brought_about(page, view)
        address = page.url
        # A tab of ours would hold the streams, and be measured with the other.
        await page.goto("about:blank")
        found = await report(address, engine.port, view.name)
    scores = {name: found["categories"][name]["score"] for name in CATEGORIES}
    print(view.name, scores, found["audits"]["first-contentful-paint"]["displayValue"])
    short = [
        (key, audit["score"], audit.get("displayValue"))
        for key, audit in found["audits"].items()
        if audit["score"] is not None and audit["score"] < 0.9 and audit["scoreDisplayMode"] != "informative"
    ]
    assert all(score >= LEAST for score in scores.values()), (scores, short)
