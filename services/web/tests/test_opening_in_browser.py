"""How the pages open: what is asked for first, and a new version on a phone that has the one before."""

from dataclasses import dataclass

import pytest
from playwright.async_api import Page

from laundry_testing.messaging import eventually
from web import pages
from web.files import sources
from web.pages import FrontEnd, front_end

from .browsers import CHROMIUM_ONLY, expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
# When WebKit's worker takes over a page that is open already depends on what else the machine does.
WORKERS_TAKE_OVER = pytest.mark.parametrize("engine", ["chromium", "firefox"], indirect=True)

TITLE = '"helper.title": "Photograph the laundry"'


@dataclass
class Roll:
    """Which version is served."""

    patch: pytest.MonkeyPatch

    def out(self, version: FrontEnd) -> None:
        self.patch.setattr(pages, "front_end", lambda: version)


@pytest.fixture
def roll(monkeypatch: pytest.MonkeyPatch) -> Roll:
    return Roll(monkeypatch)


def saying(title: str) -> FrontEnd:
    """The pages, with another title on the helper's."""
    files = sources()
    texts = files["js/texts/en.js"].decode()
    assert TITLE in texts
    return FrontEnd({**files, "js/texts/en.js": texts.replace(TITLE, f'"helper.title": "{title}"').encode()})


async def kept(page: Page, version: FrontEnd) -> None:
    """Wait until the phone has a whole version, whose worker has taken over."""
    whole = len(version.service_worker_keeps) + len(pages.ROLES) + 1

    async def has_taken_over() -> bool:
        # Playwright awaits no function that it waits for.
        found: bool = await page.evaluate(
            """async ([version, whole]) => {
              const name = `laundry-pages-${version}`;
              const files = (await caches.has(name)) ? await (await caches.open(name)).keys() : [];
              if (files.length < whole) return false;
              // Its worker has installed itself with the last of them, and has this page.
              const registration = await navigator.serviceWorker.getRegistration();
              const { active, installing, waiting } = registration ?? {};
              const { controller } = navigator.serviceWorker;
              return active?.state === "activated" && active === controller && !installing && !waiting;
            }""",
            [version.version, whole],
        )
        return found

    await eventually(has_taken_over, what=f"a whole version {version.version} on the phone")


@WORKERS_TAKE_OVER
async def test_the_next_visit_has_the_new_version_with_and_without_a_signal(
    open_page: OpenPage, services: FakeServices, roll: Roll
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    await kept(page, front_end())
    new = saying("The second version")
    roll.out(new)
    # At once, as the phone has it, while the new one comes.
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await kept(page, new)
    await page.reload()
    await expect(page.get_by_role("heading", name="The second version")).to_be_visible()
    await open_page.cut_off(page)
    await page.reload()
    await expect(page.get_by_role("heading", name="The second version")).to_be_visible()
    # Two versions at most.
    third = saying("The third version")
    roll.out(third)
    await open_page.connect(page)
    await page.reload()
    await kept(page, third)
    versions = [f"laundry-pages-{each.version}" for each in (new, third)]
    assert await page.evaluate("caches.keys()") == versions


@WORKERS_TAKE_OVER
async def test_a_version_that_is_half_rolled_out_is_not_kept(
    open_page: OpenPage, services: FakeServices, roll: Roll
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    old = front_end()
    await kept(page, old)
    new = saying("The second version")
    # The worker comes from one replica, and the rest from another.
    mixed = saying("The second version")
    mixed.documents, mixed.files, mixed.version = old.documents, old.files, old.version
    roll.out(mixed)
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    updated = """async () => {
      const registration = await navigator.serviceWorker.getRegistration();
      await registration.update().catch(() => {});
      const installing = registration.installing;
      if (!installing) return "none";
      return new Promise((resolve) => {
        installing.onstatechange = () => resolve(installing.state);
      });
    }"""
    assert await page.evaluate(updated) in ("none", "redundant")
    await open_page.cut_off(page)
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await open_page.connect(page)
    roll.out(new)
    await page.reload()
    await kept(page, new)
    await page.reload()
    await expect(page.get_by_role("heading", name="The second version")).to_be_visible()


# The others' drivers do not tell what is asked for.
@CHROMIUM_ONLY
async def test_what_an_owner_waits_for_is_asked_for_first_and_once(
    open_page: OpenPage, services: FakeServices
) -> None:
    for minutes_ago, sure in ((1, 0.4), (9, 0.9)):
        services.add_task("read", labels=[("shirt", sure)], needs_review=sure < 0.5, minutes_ago=minutes_ago)
    page = await open_page("/owner", role="owner", locale="en-US")
    await expect(page.locator(".photo.large img")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("://")[2].partition("/")[2]))
    await page.reload()
    await expect(page.locator(".photo.large img")).to_be_visible()
    await expect(page.locator(".strip img")).to_have_count(2)
    # The page before may have asked once more as its stream began.
    del asked[: asked.index("owner")]
    waiting = "api/helper/tasks?limit=100&status=read&status=unreadable"
    # Whoever it is that is asked with the page's own modules comes after it.
    assert asked.index(waiting) < asked.index("auth/session")
    [photo] = [each for each in asked if each.endswith("photo?size=display")]
    assert next(iter(services.tasks)) in photo
    # Once as it opens, and once as the stream of changes begins.
    await eventually(lambda: asked.count(waiting) == 2, what="both lists asked for")
    # Another view asks for its own.
    await page.goto("/owner?view=history")
    await expect(page.locator(".past-view")).to_be_visible()
    assert waiting not in asked[asked.index("owner?view=history") :]
