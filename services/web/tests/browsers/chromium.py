"""Chromium, as Playwright drives it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, async_playwright

from .page import PATIENCE_MS
from .programs import program
from .site import Site

SEEN = Path(__file__).with_name("seen.js").read_text()
# What a browser says of a request that a test made fail; anything else there is a fault of the pages.
EXPECTED_ON_CONSOLE = re.compile(r"Failed to load resource|net::ERR_")


class Chromium:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def context(
        self, site: Site, *, viewport: dict[str, int], locale: str, dark: bool, complaints: list[str]
    ) -> AsyncIterator[BrowserContext]:
        def listen(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not EXPECTED_ON_CONSOLE.search(message.text):
                complaints.append(message.text)

        context = await self._browser.new_context(
            base_url=site.address,
            viewport={"width": viewport["width"], "height": viewport["height"]},
            device_scale_factor=1,
            has_touch=viewport["width"] < 600,
            locale=locale,
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(SEEN)
        context.on("console", listen)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        try:
            yield context
        finally:
            await context.close()


@asynccontextmanager
async def running(*, whole: bool = False) -> AsyncIterator[Chromium]:
    """Start Chromium: its engine alone where that is installed, or the ``whole`` browser."""
    path = program("chromium", whole=whole)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield Chromium(browser)
        await browser.close()
