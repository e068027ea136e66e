"""The page of an invitation as those see it who open the link on their phone, in both languages."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright, expect

from identity.app import create_app
from laundry_servers.ports import free_port
from laundry_testing.identity import FileIdentity
from laundry_testing.programs import program
from laundry_testing.serving import serving

from .conftest import Item, MakeSettings, World

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_MS = 20_000
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
GOOD = "correct horse battery"

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def pages() -> FastAPI:
    """What stands where the pages would be."""
    app = FastAPI()

    @app.get("/")
    async def start() -> str:
        return "the pages"

    return app


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium(port: int) -> AsyncIterator[Browser]:
    """A browser that finds the service and the pages at their public addresses."""
    async with serving(pages()) as there, async_playwright() as playwright:
        places = {"identity.test": port, "pages.test": there.base_url.port}
        rules = ",".join(f"MAP {name}:80 127.0.0.1:{where}" for name, where in places.items())
        browser = await playwright.chromium.launch(
            executable_path=program("chromium"),
            args=[
                "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--host-resolver-rules={rules}",
            ],
        )  # fmt: skip
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def world(make_settings: MakeSettings, identity: FileIdentity, port: int) -> AsyncIterator[World]:
    """The service at the port that the browser knows, with one branch."""
    settings = make_settings(port=port)
    async with serving(create_app(settings), port=port) as http:
        found = World(http, identity, settings)
        await found.branch("b1")
        yield found


async def phone(browser: Browser, locale: str) -> tuple[Page, list[str]]:
    """Open a phone's browser; the list takes what its console complains of."""
    complaints: list[str] = []
    context = await browser.new_context(viewport=PHONE, locale=locale, has_touch=True)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "warning" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


COLOURS_STAND = "Promise.allSettled(document.getAnimations().map((each) => each.finished)).then(() => null)"


async def shortcomings(page: Page) -> list[str]:
    """What axe-core finds, by day and by night, and whether anything is wider than a narrow screen."""
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    found = []
    for theme in ("dark", "light"):
        await page.emulate_media(color_scheme=theme)
        # Colours that fade into each other are neither of the two.
        await page.evaluate(COLOURS_STAND)
        violations = (await Axe().run(page, options=options)).response["violations"]
        found += [f"{rule['id']} ({theme})" for rule in violations]
    await page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    return found + (["wider than the screen"] if wider > 0 else [])


def expire(invitation: Item) -> None:
    from identity.people.models import Invitation

    for each in Invitation.objects.filter(id=invitation["id"]):
        each.expires_at = each.created_at - timedelta(seconds=1)
        each.save()


async def test_an_invited_helper_chooses_a_password_on_the_phone_and_is_in(
    world: World, chromium: Browser
) -> None:
    invitation = await world.invite(world.operator, "helper", "b1")
    page, complaints = await phone(chromium, "ko-KR")
    await page.goto(invitation["link"])
    await expect(page).to_have_title("초대 · 스마트 세탁")
    await expect(page.locator(".given")).to_contain_text("헬퍼")
    await expect(page.locator(".given")).to_contain_text("b1 지점")
    assert await shortcomings(page) == []

    # What does not do is said at its field; nothing else that was filled in is lost.
    await page.get_by_label("이름").fill("박서준")
    await page.get_by_label("이메일").fill("park@example.com")
    await page.get_by_label("비밀번호").fill("12345678")
    await page.get_by_role("button", name="계정 만들기").click()
    await expect(page.locator(".field-error")).to_contain_text("비밀번호")
    await expect(page.get_by_label("이메일")).to_have_value("park@example.com")
    await expect(page.get_by_label("비밀번호")).to_have_value("")
    assert await shortcomings(page) == []
    await page.get_by_label("비밀번호").fill(GOOD)
    await page.get_by_role("button", name="계정 만들기").click()
    await expect(page).to_have_url("http://pages.test/")
    (helper,) = await world.people(world.operator, role="helper")
    assert (helper["name"], helper["email"], helper["branches"]) == ("박서준", "park@example.com", ["b1"])

    # The link is used up, for them too; on a phone that is shared the next may read it in English.
    await page.goto(invitation["link"])
    await expect(page.get_by_role("alert")).to_contain_text("이미 사용한 초대입니다.")
    await expect(page.get_by_label("비밀번호")).to_have_count(0)
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("alert")).to_have_text(
        "This invitation has been used. A link works once. Ask who invited you for a new link."
    )
    assert complaints == []
    await page.context.close()


async def test_a_link_that_is_no_good_says_why_and_what_to_do(world: World, chromium: Browser) -> None:
    expired = await world.invite(world.operator, "helper", "b1")
    await world.in_database(lambda: expire(expired))
    page, complaints = await phone(chromium, "en-US")
    for link, english, korean in (
        (expired["link"], "This invitation has expired.", "기한이 지난 초대입니다."),
        (
            expired["link"][:-4],
            "There is no such invitation. Make sure that you copied the whole link.",
            "없는 초대입니다. 링크를 끝까지 복사했는지 확인해 주세요.",
        ),
    ):
        await page.goto(link)
        await expect(page.get_by_role("alert")).to_have_text(f"{english} Ask who invited you for a new link.")
        assert await shortcomings(page) == []
        await page.get_by_role("button", name="한국어").click()
        await expect(page.get_by_role("alert")).to_have_text(f"{korean} 초대한 분께 새 링크를 부탁해 주세요.")
        await page.get_by_role("button", name="English").click()
        await expect(page.get_by_role("alert")).to_contain_text(english)

    # One account is one person: an address that is taken leads to the sign-in, and back here.
    invitations = [await world.invite(world.operator, "helper", "b1") for _ in range(2)]
    assert (await world.accept(invitations[0], "kim@example.com")).status_code == 302
    await page.goto(invitations[1]["link"])
    await page.get_by_label("Name").fill("Kim")
    await page.get_by_label("E-mail").fill("kim@example.com")
    await page.get_by_label("Password").fill(GOOD)
    await page.get_by_role("button", name="Create my account").click()
    await expect(page.locator(".field-error")).to_contain_text("There is an account of this e-mail already.")
    await page.get_by_role("link", name="Sign in and accept").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await shortcomings(page) == []
    assert complaints == []
    await page.context.close()
