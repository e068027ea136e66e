"""A link replaces nobody's session without a question, and none that is good for one that is not."""

import pytest
from playwright.async_api import Page

from .browsers import expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

KEPT = "localStorage.getItem('laundry.token')"
ADDRESS = "location.href"


async def signed_in(open_page: OpenPage, token: str) -> Page:
    page = await open_page("/", locale="en-US")
    await page.goto(f"/#token={token}")
    await page.locator(".helper").wait_for()
    return page


async def test_another_persons_link_asks_first(open_page: OpenPage) -> None:
    kim, lee = open_page.token("helper", sub="kim"), open_page.token("owner", sub="lee", branches=("b2",))
    page = await signed_in(open_page, kim)
    for title, answer, other in (
        ("Sign in as lee?", "Stay kim", "한국어"),
        ("lee(으)로 로그인할까요?", "kim(으)로 계속", "English"),
        ("Sign in as lee?", "Sign in as lee", None),
    ):
        await page.goto(f"/helper#token={lee}")
        dialog = page.get_by_role("dialog", name=title)
        await expect(dialog).to_contain_text("kim")
        await expect(dialog).to_contain_text("b2")
        assert "token" not in await page.evaluate(ADDRESS)
        assert await page.evaluate(KEPT) == kim
        await dialog.get_by_role("button", name=answer, exact=True).click()
        await expect(dialog).to_be_hidden()
        if other:
            await expect(page.locator(".helper")).to_be_visible()
            await page.get_by_role("button", name=other).click()
    await expect(page.locator(".owner")).to_be_visible()
    assert await page.evaluate(KEPT) == lee


@pytest.mark.parametrize("opened", ["in the open page", "in a new page"])
async def test_a_bad_link_signs_nobody_out(open_page: OpenPage, services: FakeServices, opened: str) -> None:
    kim, forged = open_page.token("helper", sub="kim"), open_page.token("owner", sub="lee")
    services.forged = {forged}
    page = await signed_in(open_page, kim)
    for bad in (forged, open_page.expired(), "x"):
        if opened == "in a new page":
            await page.goto("about:blank")
        await page.goto(f"/helper#token={bad}")
        await expect(page.locator(".notice")).to_contain_text(
            "That sign-in link is not valid. You are still signed in as kim (helper, b1)"
        )
        await expect(page.locator(".helper")).to_be_visible()
        assert await page.evaluate(KEPT) == kim
        assert "token" not in await page.evaluate(ADDRESS)
        await page.get_by_role("button", name="Got it").click()
        await expect(page.locator(".notice")).to_have_count(0)


async def test_a_link_that_cannot_be_checked_signs_nobody_out(open_page: OpenPage) -> None:
    kim = open_page.token("helper", sub="kim")
    page = await signed_in(open_page, kim)
    await page.context.set_offline(True)
    await page.evaluate(f"location.hash = 'token={open_page.token('owner', sub='lee')}'")
    await expect(page.locator(".notice")).to_contain_text("could not be checked just now")
    assert await page.evaluate(KEPT) == kim


async def test_ones_own_new_link_is_taken_without_a_question(open_page: OpenPage) -> None:
    page = await signed_in(open_page, open_page.token("helper", sub="kim"))
    renewed = open_page.token("helper", sub="kim", branches=("b1", "b2"))
    await page.goto(f"/helper#token={renewed}")
    await expect(page.get_by_label("Branch")).to_be_visible()
    assert await page.evaluate(KEPT) == renewed


async def test_signing_out_signs_out_every_tab_and_a_stale_tab_takes_no_new_session_away(
    open_page: OpenPage,
) -> None:
    page = await signed_in(open_page, open_page.token("helper", sub="kim"))
    other = await page.context.new_page()
    await other.goto("/helper")
    await expect(other.locator(".helper")).to_be_visible()
    await other.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Sign-in token")).to_be_visible()
    lee = open_page.token("owner", sub="lee")
    await other.goto(f"/#token={lee}")
    await expect(page.locator(".owner")).to_be_visible()
    # The session of a tab that is refused ends; what another tab put in its place meanwhile stays.
    kept = await page.evaluate(
        """async () => {
          const { sessionOf, signOut } = await import("/static/js/session.js");
          const stale = sessionOf(localStorage.getItem("laundry.token"));
          signOut({ ...stale, token: "an older one" });
          return localStorage.getItem("laundry.token");
        }"""
    )
    assert kept == lee
