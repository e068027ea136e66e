"""WCAG 2.2 AA by axe-core, on every view: each language in one of the themes and at one of
the widths, as none of them changes another.

``make pages`` looks at all of them.
"""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from .browsers import CHROMIUM_ONLY, DESKTOP, PHONE
from .conftest import OpenPage, shortcomings
from .fake_operations import FakeOperations
from .fake_services import FakeServices
from .views import VIEWS, View, World, as_it_opens, brought_about, looks

# What axe finds does not differ between browsers.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), CHROMIUM_ONLY]

# The criteria of WCAG 2.2 AA, and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# How much of the screen may move as a page opens (CLS): up to this it is good, says Google.
STEADY = 0.1
# A page waits until all is there (``arrival.js``), on a slow machine too: layout is judged, not speed.
UNHURRIED = """
  const wait = setTimeout;
  window.setTimeout = (job, ms, ...more) => wait(job, ms === 1500 ? 60_000 : ms, ...more);
"""
MOVED = """() => new Promise((resolve) => {
  let moved = 0;
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) if (!shift.hadRecentInput) moved += shift.value;
  }).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => resolve(moved)));
})"""


async def violations(page: Page) -> list[Any]:
    """What axe-core finds on a page."""
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    found = (await Axe().run(page, options=options)).response["violations"]
    return [
        (rule["id"], [(node["html"][:160], node["failureSummary"]) for node in rule["nodes"]])
        for rule in found
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_everybody_can_use(open_page: OpenPage, services: FakeServices, view: View) -> None:
    view.fill(World(services, FakeOperations(services.app, letters=0)))
    page = await open_page(
        view.path, role=view.role, branches=view.branches, locale="ko-KR", script=UNHURRIED
    )
    await brought_about(page, view)
    if view.act is as_it_opens:
        assert await page.evaluate(MOVED) <= STEADY
    async for look in looks(page, view, ("ko", "light"), ("en", "dark")):
        size = PHONE if "light" in look else DESKTOP
        await page.set_viewport_size({"width": size["width"], "height": size["height"]})
        # A fault's notice lies over the page until it is taken note of; half behind it is no small target.
        await page.evaluate("scrollTo(0, 0)")
        assert await violations(page) == [], look
        assert await shortcomings(page) == {}, look
