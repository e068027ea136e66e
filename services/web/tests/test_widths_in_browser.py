"""No page is wider than the screen, whatever stands on it; and its title tells which it is."""

from typing import Any

import pytest
from playwright.async_api import Page

from .browsers import expect
from .conftest import OpenPage
from .fake_identity import FakeIdentity
from .fake_operations import FakeOperations
from .fake_pictures import picture
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WIDTHS = (1280, 390, 320)
HEIGHT = 844
# Of the longest that the services take, and nowhere to break.
LONG = "Gangnam-station-underground-arcade-laundry-and-dry-cleaning-room"
# As long as a token may name one.
BRANCHES = (LONG.lower()[:40], "b2")
LANGUAGES = {"en": "English", "ko": "한국어"}
ALERTS = {"ko": "설비 알림", "en": "Equipment alerts"}
COUNTS = (0, 1, 12, 200)
TITLES = {
    "/": {"ko": "로그인 · 스마트 세탁", "en": "Sign in · Smart Laundry"},
    "/helper": {"ko": "세탁물 등록 · 스마트 세탁", "en": "Register laundry · Smart Laundry"},
    "/owner": {"ko": "확인 · 스마트 세탁", "en": "Confirm · Smart Laundry"},
    "/operator?view=models": {"ko": "모델 · 스마트 세탁", "en": "Models · Smart Laundry"},
    "/operator?view=queues": {
        "ko": "큐와 데드 레터 · 스마트 세탁",
        "en": "Queues and dead letters · Smart Laundry",
    },
    "/owner?view=people": {"ko": "구성원 · 스마트 세탁", "en": "People · Smart Laundry"},
    "/operator?view=people": {
        "ko": "구성원과 지점 · 스마트 세탁",
        "en": "People and branches · Smart Laundry",
    },
    "/operator?view=equipment": {"ko": "설비 인증 · 스마트 세탁", "en": "Equipment · Smart Laundry"},
}
# What each shows many of, how many at first, and what stands there once it knows that there are none.
LISTS = {
    "/": (".sign-in", 1, ""),
    "/helper": (".load", 20, ".empty"),
    "/owner": (".strip li", 200, ".empty"),
    "/operator?view=models": (".model", 50, ".replicas li"),
    "/operator?view=queues": (".dead-letters li", 200, ".empty"),
    "/owner?view=people": (".entry[data-sub]", 50, ".people .empty"),
    "/operator?view=people": (".entry[data-sub]", 50, ".people .empty"),
    "/operator?view=equipment": (".entry", 50, ".people .empty"),
}


# The same of the owner's and the customer's other views.
MORE_TITLES = {
    "/owner?view=history": {"ko": "지난 세탁물 · 스마트 세탁", "en": "History · Smart Laundry"},
    "/owner?view=washed": {"ko": "세탁 현황 · 스마트 세탁", "en": "What was washed · Smart Laundry"},
    "/customer": {"ko": "나에게 맞는 지점 · 스마트 세탁", "en": "For me · Smart Laundry"},
    "/customer?view=told": {"ko": "알림 · 스마트 세탁", "en": "Messages · Smart Laundry"},
    "/customer?view=me": {"ko": "내 정보 · 스마트 세탁", "en": "My data · Smart Laundry"},
}
MORE_LISTS = {
    "/owner?view=history": (".past .load", 50, ".past-view .empty"),
    "/owner?view=washed": (".washed .columns", 1, ".washed .empty"),
    "/customer": (".branch", 20, ".likes .empty"),
    "/customer?view=told": (".told .alerts li", 60, ".told .empty"),
    "/customer?view=me": (".danger", 1, ".danger"),
}


def fill_the_past(services: FakeServices, count: int) -> None:
    """Let so much have been confirmed, washed, recommended and told, with the longest names."""
    photo, tag = picture(size=(90, 120)), LONG[:32]
    for number in range(count):
        task = services.add_task("read", labels=[(LONG, 0.5)], note=LONG * 3, branch_id=LONG, photo=photo)
        services.confirmed(task["id"], [(LONG, 999), ("dress", 1)])
        services.history.wash(number % 28, f"{LONG}-{number}", pieces=99_999, loads=9_999, corrected=999)
        services.customers.suit(f"{LONG}-{number}", **{tag: (1, 1)})
        services.customers.taste = {tag: 0.5}
        services.customers.own_tags = [{"tag": tag, "group": None, "ko": None, "en": None, "branches": 1}]
        services.customers.words["body"] = LONG
        services.customers.tell(services)


def fill(services: FakeServices, operations: FakeOperations, identity: FakeIdentity, count: int) -> None:
    """Let there be so many of everything, with the longest names."""
    if count:
        identity.branches = [identity.branch(LONG[:40].lower(), LONG, LONG)]
    for _ in range(len(identity.people), count):
        identity.add(LONG, branches=(LONG[:40].lower(),))
        identity.invited(branches=(LONG,), note=LONG)
        identity.credential(LONG, LONG)
    photo = picture(size=(90, 120))
    for number in range(len(services.tasks), count):
        services.add_task(
            "read",
            labels=[(LONG, 0.5), ("dress", 0.3)],
            needs_review=number % 2 == 0,
            note=LONG * 3,
            branch_id=LONG,
            photo=photo,
        )
        services.fault(f"{LONG[:-4]}-{number}")
    operations.letters = count
    operations.why = {"reason": "retries-exhausted", "error_class": LONG}
    [model, *_] = services.models.models or [services.models.model("m-0", champion=True)]
    services.models.models = [
        model | {"version": f"{LONG}-{number}", "champion": number == 0} for number in range(min(count, 50))
    ]
    for number in range(len(services.models.runs), min(count, 20)):
        run = services.models.run("failed", error=LONG, requested_by=LONG, model_version=f"{LONG}-{number}")
        services.models.note(run["id"], LONG)


async def wider(page: Page) -> list[Any]:
    """At which widths the page scrolls sideways, and because of what."""
    found = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        sideways = await page.evaluate(
            """() => {
              const { scrollWidth } = document.documentElement;
              if (scrollWidth <= innerWidth) return null;
              const beyond = (each) => {
                const range = document.createRange();
                range.selectNodeContents(each);
                return range.getBoundingClientRect().right > innerWidth + 1;
              };
              return [innerWidth, scrollWidth, [...document.querySelectorAll("body *")].filter(beyond)
                .slice(-5).map((each) => each.outerHTML.slice(0, 100))];
            }"""
        )
        found += [sideways] if sideways else []
    return found


async def open_everything(page: Page) -> None:
    """Open each part of a page that can be opened."""
    await page.evaluate(
        "() => { for (const each of document.querySelectorAll('details')) each.open = true; }"
    )


@pytest.mark.parametrize("path", TITLES)
async def test_no_page_is_wider_than_the_screen_and_each_title_tells_the_view(
    open_page: OpenPage, services: FakeServices, path: str
) -> None:
    operations, identity = FakeOperations(services.app, letters=0), FakeIdentity(services.app)
    role = path[1:].partition("?")[0] or None
    selector, most, nothing = LISTS[path]
    page = await open_page(path, role=role, locale="ko-KR", branches=BRANCHES)
    for count in COUNTS if role else (1,):
        fill(services, operations, identity, count)
        await page.goto(path)
        # The longest page once: twelve show as well what is wide, and two hundred take long to draw.
        for language in ("en", "ko") if count < max(COUNTS) else ("ko",):
            if count < max(COUNTS):
                # This draws the whole page, with all of its lists.
                await page.get_by_role("button", name=LANGUAGES[language]).click()
            await expect(page.locator(selector)).to_have_count(min(count, most))
            if not count:
                await expect(page.locator(nothing).first).to_be_visible()
            title = TITLES[path][language]
            if path.startswith("/owner") and count:
                await expect(page.locator(".banner")).to_have_count(count)
                title = f"({count}) {ALERTS[language]} · {title}"
            await expect(page).to_have_title(title)
            assert await wider(page) == [], (count, language)
            if await page.locator("details").count():
                await open_everything(page)
                assert await wider(page) == [], (count, language, "opened")
            if path == "/owner" and count:
                correct = page.get_by_role("button", name="Correct" if language == "en" else "고치기")
                # Not by a mouse: a name without an end makes the button higher than a phone's screen.
                await correct.first.evaluate("(button) => button.click()")
                await expect(page.locator("[data-mode=correcting] .chip").first).to_be_visible()
                assert await wider(page) == [], (count, language, "correcting")


@pytest.mark.parametrize("path", MORE_TITLES)
@pytest.mark.parametrize("count", [0, 60])
async def test_no_other_view_is_wider_than_the_screen_and_each_title_tells_it(
    open_page: OpenPage, services: FakeServices, path: str, count: int
) -> None:
    fill_the_past(services, count)
    selector, most, nothing = MORE_LISTS[path]
    page = await open_page(path, role=path[1:].partition("?")[0], locale="ko-KR", branches=BRANCHES)
    for language in ("en", "ko"):
        await page.get_by_role("button", name=LANGUAGES[language]).click()
        await expect(page.locator(selector if count else nothing)).to_have_count(min(count, most) or 1)
        await expect(page).to_have_title(MORE_TITLES[path][language])
        await open_everything(page)
        assert await wider(page) == [], language


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_dead_letter_and_no_question_is_wider_than_the_screen(
    open_page: OpenPage, services: FakeServices, language: str
) -> None:
    operations = FakeOperations(services.app, letters=2)
    operations.text = LONG * 4
    fill(services, operations, FakeIdentity(services.app), 2)
    page = await open_page("/operator?view=queues", role="operator", locale=language, sub=LONG)
    await expect(page.locator(".dead-letters li")).to_have_count(2)
    await open_everything(page)
    await page.locator(".dead-letters button").first.click()
    await expect(page.locator(".dead-letter dl")).to_be_visible()
    await page.locator(".dead-letter .dead-buttons button").first.click()
    await expect(page.locator("#dead-why")).to_be_visible()
    assert await wider(page) == [], "an opened dead letter"
    await page.goto("/operator?view=models")
    await page.locator(".model .secondary").last.click()
    await expect(page.locator("dialog")).to_be_visible()
    assert await wider(page) == [], "the question before a promotion"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_why_nobody_was_signed_in_is_no_wider_than_the_screen(
    open_page: OpenPage, language: str
) -> None:
    page = await open_page("/?sign-in=no-grant", locale=language)
    await expect(page.locator(".notice")).to_be_visible()
    assert await wider(page) == []
