"""The web service in front of fake services, and a Chromium that looks at it."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from laundry_catalogue import proxied_services
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import serving
from web.app import create_app
from web.settings import ProxySettings, WebSettings

from .browsers import ENGINES, Engines, Window, chromium_running
from .fake_services import FakeServices

PATIENCE_MS = 20_000
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
# What a browser says of a request that a test made fail; anything else there is a fault of the pages.
EXPECTED_ON_CONSOLE = re.compile(r"Failed to load resource|net::ERR_")


def settings_for(url: str, **changes: Any) -> ProxySettings:
    """All services at one address."""
    return WebSettings(**{service.url_key: url for service in proxied_services()} | changes)


@pytest_asyncio.fixture(loop_scope="session")
async def services() -> AsyncIterator[FakeServices]:
    """The fake services, served; their address is ``services.url``."""
    fake = FakeServices()
    async with serving(fake.app) as client:
        fake.url = str(client.base_url)
        yield fake


@pytest_asyncio.fixture(loop_scope="session")
async def site(services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    """The web service in front of the fakes."""
    async with serving(create_app(settings_for(services.url))) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests; each opens contexts of its own."""
    async with chromium_running() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def engines() -> AsyncIterator[Engines]:
    """Every browser that people have."""
    async with AsyncExitStack() as stack:
        yield Engines(stack)


@pytest_asyncio.fixture(loop_scope="session", params=list(ENGINES))
async def window(engines: Engines, request: pytest.FixtureRequest) -> AsyncIterator[Window]:
    """Open a window of each browser in turn."""
    async with engines.window(request.param) as opened:
        yield opened


class OpenPage:
    """Opens pages, each in a browser context of its own, signed in by link."""

    def __init__(self, browser: Browser, site: str, identity: FileIdentity, stack: AsyncExitStack) -> None:
        self._browser = browser
        self._site = site
        self._identity = identity
        self._stack = stack
        self.complaints: list[str] = []

    def token(self, role: str, *, branches: tuple[str, ...] = ("b1",), sub: str | None = None) -> str:
        return self._identity.local.mint(role=role, branches=branches, subject=sub)

    def expired(self) -> str:
        return self._identity.local.mint(role="owner", branches=("b1",), subject="lee", seconds=-60)

    async def __call__(
        self,
        path: str = "/",
        *,
        role: str | None = None,
        branches: tuple[str, ...] = ("b1",),
        locale: str = "ko-KR",
        desktop: bool = False,
        dark: bool = False,
        sub: str | None = None,
        script: str | None = None,
    ) -> Page:
        context = await self._stack.enter_async_context(
            _context(
                self._browser,
                base_url=self._site,
                viewport=DESKTOP if desktop else PHONE,
                device_scale_factor=1,
                has_touch=not desktop,
                locale=locale,
                color_scheme="dark" if dark else "light",
            )
        )
        if script is not None:
            # Before the page's own scripts: a browser that behaves differently.
            await context.add_init_script(script)
        page = await context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(path)
        for _ in range(5):
            if await page.locator("#content").count():
                break
            # The machine's network changed (a bridge came or went), which breaks off loading everywhere.
            await page.wait_for_timeout(300)
            await page.reload()
        if role is not None:
            await page.goto(f"{path}#token={self.token(role, branches=branches, sub=sub)}")
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED_ON_CONSOLE.search(message.text):
            self.complaints.append(message.text)


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    browser: Browser, site: httpx.AsyncClient, identity: FileIdentity
) -> AsyncIterator[OpenPage]:
    """Open pages; afterwards nothing unexpected may stand on their consoles."""
    async with AsyncExitStack() as stack:
        opener = OpenPage(browser, str(site.base_url), identity, stack)
        yield opener
    assert opener.complaints == []


@pytest.fixture(autouse=True)
def patience() -> None:
    """Wait longer than Playwright's 5 s, because other tests may have both cores."""
    expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def _context(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context
    finally:
        await context.close()


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    """A photo as a phone has it."""
    from .fake_services import picture

    file = tmp_path / "IMG_0001.jpg"
    file.write_bytes(picture())
    return file
