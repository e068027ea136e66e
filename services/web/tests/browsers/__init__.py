"""The three engines that people have, driven alike, in Playwright's words."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
from playwright.async_api import BrowserContext, Expect

from . import chromium, firefox, webkit
from .page import PATIENCE_MS, Expectation, OtherLocator, OtherPage
from .site import Site

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
# For what comes after a pause: all of a page's pauses of a second and more are a tenth of that.
HURRY = """
  const wait = setTimeout;
  window.setTimeout = (job, ms, ...more) => wait(job, ms >= 1000 ? ms / 10 : ms, ...more);
"""

# One of its own: the options of Playwright's are shared with every other test of the process.
expect_in_chromium = Expect()
expect_in_chromium.set_options(timeout=PATIENCE_MS)


class Engine(Protocol):
    def context(
        self, site: Site, *, viewport: dict[str, int], locale: str, dark: bool, complaints: list[str]
    ) -> AbstractAsyncContextManager[BrowserContext]:
        """Open a context that holds nothing of another; ``complaints`` takes what its console says."""


ENGINES: dict[str, Any] = {"chromium": chromium.running, "firefox": firefox.running, "webkit": webkit.running}
CHROMIUM_ONLY = pytest.mark.parametrize("engine", ["chromium"], indirect=True)
"""For what does not differ between browsers."""


def expect(actual: Any) -> Any:
    """Wait until something of a page is so: Playwright's ``expect``, in every engine."""
    if isinstance(actual, OtherPage | OtherLocator):
        return Expectation(actual)
    return expect_in_chromium(actual)
