"""Who is signed in on a phone: signed out elsewhere, rights changed, somebody else, without a connection."""

from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Error, Page

from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually
from web.auth import sessions

from .browsers import expect
from .conftest import OpenPage
from .fake_provider import Person
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# Whether there was somebody to sign out.
SIGN_OUT = """(() => {
  const button = document.querySelector('[aria-label="Sign out"]');
  const ask = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await ask(...asked);
    // Of tabs that sign out at once, the later may find nobody signed in, and is led nowhere.
    if (asked[0] === "/auth/sign-out") window.ledNowhere = (await answer.clone().json()).location === null;
    return answer;
  };
  button?.click();
  return button !== null;
})()"""
# In one step: nothing of the sign-out has been answered yet.
OUT_AND_IN = """(() => {
  document.querySelector('[aria-label="Sign out"]').click();
  document.querySelector('.sign-in a').click();
})()"""
# Where the next answer about who is signed in is to be late, it comes once let go, and a sign-out's after it.
LATE = """
  const ask = window.fetch;
  let heard = Promise.resolve();
  window.fetch = async (...asked) => {
    const answer = await ask(...asked);
    if (asked[0] === "/auth/sign-out") await heard;
    if (asked[0] !== "/auth/session" || !sessionStorage.getItem("late")) return answer;
    sessionStorage.removeItem("late");
    const said = await answer.json();
    let hear;
    heard = new Promise((resolve) => (hear = resolve));
    await new Promise((resolve) => {
      window.letGo = () => {
        resolve();
        return heard;
      };
    });
    answer.json = async () => {
      // Once the page has made of it what it does.
      setTimeout(hear);
      return said;
    };
    return answer;
  };
"""
BE_LATE = "sessionStorage.setItem('late', 'yes')"
BACK = "window.ledNowhere || (location.pathname === '/' && document.querySelector('.sign-in') !== null)"
KEPT = "localStorage.getItem('laundry.session')"
ASKS_WHO = "(link) => new URL(link.href).searchParams.get('prompt') === 'login'"
DEAF = "window.addEventListener('storage', (event) => event.stopImmediatePropagation());"
NO_ROOM = """
  IDBObjectStore.prototype.put = () => { throw new DOMException("no", "QuotaExceededError"); };
"""
DENIED = Problem(401, "token-denied", "This sign-in was ended.")


@pytest.fixture(autouse=True)
def _doubted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service refuses is refreshed, however new it is."""
    monkeypatch.setattr(sessions, "YOUNG_S", 0.0)


async def is_back(page: Page) -> bool:
    """Whether a page that signed out has been at the provider's sign-out and is back, or is led nowhere."""
    try:
        return bool(await page.evaluate(BACK))
    except (Error, AssertionError):
        # It is on its way, as Chromium's driver and the others' say it.
        return False


async def let_go(page: Page) -> None:
    """Let the late answer come, and wait until the page has heard it."""
    await page.evaluate("window.letGo().then(() => null)")


async def is_asked(page: Page) -> bool:
    return bool(await page.evaluate("window.letGo !== undefined"))


async def deny(services: FakeServices, page: Page) -> None:
    """Let the services take no token from before now, as they do when a right is taken away."""
    services.refuse["tasks"] = DENIED
    services.break_streams()
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_signing_in_leads_to_the_page_and_nothing_secret_is_left_in_the_browser(
    open_page: OpenPage,
) -> None:
    page = await open_page("/", locale="en-US")
    await page.locator(".sign-in").get_by_role("link", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    assert await page.evaluate("location.pathname + location.search + location.hash") == "/helper"
    kept = await page.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage, cookie: document.cookie})"
    )
    assert "eyJ" not in kept
    assert "gAAAA" not in kept
    await page.reload()
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator(".sign-in").get_by_role("link", name="Sign in")).to_be_visible()
    await eventually(lambda: open_page.provider.revoked, what="the grant is revoked")
    await eventually(partial(is_back, page), what="the way to the provider's sign-out and back")
    assert await page.evaluate(KEPT) is None


async def test_photos_wait_for_the_next_sign_in_of_the_same_person(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    first, second = Person("first"), Person("second")
    page = await open_page("/", person=first, locale="en-US")
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    # The password was changed on another phone.
    services.refuse["upload"] = DENIED
    open_page.provider.end(first)
    await page.get_by_label("Album").set_input_files(photo_file)
    notice = page.locator(".notice")
    await expect(notice).to_contain_text("Your sign-in was ended: you signed out on another device")
    await expect(notice).to_contain_text("1 unsent photo is safe on this phone")
    services.refuse.clear()
    for person, waiting in ((second, 0), (first, 1)):
        sent = len(services.uploads)
        await page.goto(open_page.signed_in("/", person))
        await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
        await expect(page.locator(".load")).to_have_count(waiting)
        assert len(services.uploads) - sent <= waiting
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert len({upload["key"] for upload in services.uploads}) == 1


async def test_a_photo_that_only_the_open_page_has_survives_the_next_sign_in(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    kim = Person("kim")
    page = await open_page("/", person=kim, locale="en-US", script=NO_ROOM)
    services.refuse["upload"] = DENIED
    open_page.provider.end(kim)
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.locator(".notice")).to_contain_text("are on this open page only")
    # Leaving the page would lose it.
    assert await page.locator(".sign-in a").evaluate("(link) => link.target") == "_blank"
    services.refuse.clear()
    other = await page.context.new_page()
    await other.goto(open_page.signed_in("/", kim))
    await eventually(lambda: services.tasks, what="the photo is sent by the page that has it")


async def test_a_tab_of_one_person_sends_nothing_as_another(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    # The tab does not hear of it: a phone had frozen it.
    page = await open_page("/", person=Person("kim"), locale="en-US", script=DEAF)
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(open_page.signed_in("/owner", Person("lee", "owner", ("b2",), "Lee")))
    await expect(other.locator(".owner")).to_be_visible()
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.locator(".owner")).to_be_visible()
    assert services.uploads == []
    await page.goto(open_page.signed_in("/", Person("kim")))
    await expect(page.get_by_text("Registered · being read")).to_be_visible()


async def test_rights_that_were_changed_are_followed_and_said(
    open_page: OpenPage, services: FakeServices
) -> None:
    kim = Person("kim", "helper", ("b1",), "Kim")
    page = await open_page("/", person=kim, locale="en-US")
    await expect(page.get_by_text("Branch b1")).to_be_visible()
    kim.branches = ("b1", "b2")
    await deny(services, page)
    await expect(page.locator(".notice")).to_contain_text("you are now Kim (helper, b1, b2)")
    services.refuse.clear()
    await expect(page.get_by_label("Branch")).to_be_visible()
    # The last right goes.
    kim.role = None
    await deny(services, page)
    await expect(page.locator(".notice")).to_contain_text("Your account no longer has access here")
    assert await page.locator(".sign-in a").evaluate(ASKS_WHO)


async def test_signing_out_signs_out_every_tab(open_page: OpenPage) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    other = await page.context.new_page()
    await other.goto("/helper")
    await expect(other.locator(".helper")).to_be_visible()
    # Both at once.
    clicked = [tab for tab in (page, other) if await tab.evaluate(SIGN_OUT)]
    for tab in (page, other):
        await expect(tab.locator(".sign-in")).to_be_visible()
    # What is asked of the service on that way would sign out who comes next.
    for tab in clicked:
        await eventually(partial(is_back, tab), what="the way to the provider's sign-out and back")
    lee = Person("lee", "owner", ("b1",))
    await other.goto(open_page.signed_in("/", lee))
    await expect(page.locator(".owner")).to_be_visible()


async def test_who_signs_in_right_after_a_sign_out_is_taken_there(open_page: OpenPage) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    await page.evaluate(OUT_AND_IN)
    await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
    await eventually(lambda: open_page.provider.revoked, what="the grant before is revoked")


async def test_an_answer_from_before_a_sign_out_does_not_undo_it(open_page: OpenPage) -> None:
    page = await open_page("/", role="helper", locale="en-US", script=LATE)
    await expect(page.locator(".helper")).to_be_visible()
    await page.evaluate(BE_LATE)
    await page.reload()
    await eventually(partial(is_asked, page), what="the page asks who is signed in")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator(".sign-in")).to_be_visible()
    await let_go(page)
    await expect(page.locator(".sign-in")).to_be_visible()
    await eventually(partial(is_back, page), what="the way to the provider's sign-out and back")
    assert await page.evaluate(KEPT) is None


async def test_an_answer_from_before_a_sign_in_does_not_undo_it(open_page: OpenPage) -> None:
    page = await open_page("/", locale="en-US", script=LATE)
    await expect(page.locator(".sign-in")).to_be_visible()
    await page.evaluate(BE_LATE)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await eventually(partial(is_asked, page), what="the page asks who is signed in")
    other = await page.context.new_page()
    await other.goto(open_page.signed_in("/", Person("kim")))
    for tab in (page, other):
        await expect(tab.locator(".helper")).to_be_visible()
    await let_go(page)
    for tab in (page, other):
        await expect(tab.locator(".helper")).to_be_visible()
    assert await page.evaluate(KEPT) is not None


async def test_who_signs_out_without_a_connection_is_signed_out_when_there_is_one(
    open_page: OpenPage,
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    # Besides: requests of a page that a worker controls may slip through a driver's emulation.
    await open_page.cable.pull()
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator(".sign-in")).to_be_visible()
    await page.reload()
    await expect(page.locator(".sign-in")).to_be_visible()
    assert open_page.provider.revoked == []
    await open_page.cable.plug()
    await page.context.set_offline(False)
    await eventually(lambda: open_page.provider.revoked, what="the grant is revoked")
    await page.reload()
    await expect(page.locator(".sign-in").get_by_role("link", name="Sign in")).to_be_visible()
    # At the provider nobody has signed out: whoever is next here is asked who they are.
    assert await page.locator(".sign-in a").evaluate(ASKS_WHO)
    open_page.provider.person = Person("lee", "owner", ("b1",), "Lee")
    await page.locator(".sign-in a").click()
    await expect(page.locator(".owner")).to_be_visible()
    assert open_page.provider.asked[-1]["prompt"] == "login"
    assert await page.evaluate("localStorage.getItem('laundry.afresh')") is None


async def test_while_the_provider_is_away_everything_stays_and_photos_wait(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    open_page.provider.away = True
    services.refuse["upload"] = DENIED
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    open_page.provider.away = False
    services.refuse.clear()
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert len({upload["key"] for upload in services.uploads}) == 1


async def test_why_nobody_was_signed_in_is_said_once(open_page: OpenPage) -> None:
    page = await open_page("/?sign-in=clock", locale="en-US")
    await expect(page.locator(".notice")).to_contain_text("The clocks of this system")
    assert await page.evaluate("location.href.includes('sign-in')") is False
    await page.reload()
    await expect(page.locator(".notice")).to_have_count(0)
