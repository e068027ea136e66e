"""The customer says what matters, sees which branches suit and why, is told or not, and may leave."""

import asyncio
from pathlib import Path

import pytest

from laundry_testing.messaging import eventually

from .browsers import expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_taste_is_said_in_words_and_finds_branches_with_the_reason(
    open_page: OpenPage, services: FakeServices
) -> None:
    customers = services.customers
    customers.own_tags = [{"tag": "roof_top", "group": None, "ko": None, "en": None, "branches": 2}]
    page = await open_page("/", role="customer", locale="ko-KR", branches=())
    await expect(page).to_have_title("나에게 맞는 지점 · 스마트 세탁")
    await expect(page.get_by_text("먼저 좋아하는 것을 골라 주세요")).to_be_visible()
    customers.suit("gangnam-1", sauna=(1.0, 0.3), quiet=(0.6, 0.9))
    await page.get_by_role("button", name="사우나", exact=True).click()
    await page.get_by_label("사우나: 얼마나 중요한가요?").select_option("much")
    await page.get_by_role("button", name="조용해요", exact=True).click()
    await expect(page.locator(".saved")).to_contain_text("저장했습니다")
    assert customers.saved[-1] == {"sauna": 1, "quiet": 0.6}
    branch = page.locator(".branch")
    await expect(branch).to_contain_text("75% 일치")
    reason = branch.locator(".reasons li").first
    await expect(reason).to_contain_text("사우나")
    await expect(reason).to_contain_text("나: 꼭 있어야 해요")
    await expect(reason).to_contain_text("지점: 조금")
    await expect(branch).to_contain_text("이 지점의 다른 점: 주차가 편해요")
    # A branch that states something new appears by itself.
    customers.suit("mapo-2", sauna=(1.0, 1.0))
    services.tell("matches", {"id": "p2"})
    await expect(branch).to_have_count(2)
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("button", name="roof top")).to_be_visible()
    await expect(page.get_by_role("button", name="Sauna", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    customers.away.add("taste")
    await page.get_by_role("button", name="Sauna", exact=True).click()
    await expect(page.locator(".saved .trouble")).to_contain_text("The service is away for a moment.")
    customers.away.clear()
    await page.get_by_role("button", name="Quiet", exact=True).click()
    await expect(page.locator(".chosen")).to_contain_text("Nothing chosen yet.")
    await expect(page.locator(".saved")).to_contain_text("Saved")
    assert customers.saved[-1] == {}


async def test_further_branches_stay_when_the_list_is_fetched_again(
    open_page: OpenPage, services: FakeServices
) -> None:
    customers = services.customers
    customers.taste = {"sauna": 1.0}
    for number in range(61):
        customers.suit(f"branch-{number}", sauna=(1.0, 1.0))
    page = await open_page("/", role="customer", locale="en-US", branches=())
    branches, more = page.locator(".branch"), page.get_by_role("button", name="Show more")
    await expect(branches).to_have_count(20)
    asked = ("GET", "/branches/matching")
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(asked) >= 2, what="both lists asked for")
    await more.click()
    await expect(branches).to_have_count(40)
    customers.hold_matches = held = asyncio.Event()
    before = services.requests.count(asked)
    await more.click()
    # A stream that was opened anew may ask as well.
    await eventually(lambda: services.requests.count(asked) > before, what="further branches asked for")
    customers.suit("mapo-2", sauna=(1.0, 1.0))
    before = services.requests.count(asked)
    services.tell("matches", {"id": "p2"})
    await eventually(lambda: services.requests.count(asked) > before, what="the list asked for again")
    held.set()
    await expect(branches).to_have_count(60)
    customers.away.add("matching")
    await more.click()
    await expect(page.locator(".more .trouble")).to_contain_text("The service is away for a moment.")
    customers.away.clear()
    await page.get_by_role("button", name="Try again").click()
    await expect(branches).to_have_count(62)
    await expect(page.locator(".trouble")).to_have_count(0)


async def test_being_told_is_agreed_to_in_the_words_shown_and_ends_by_one_tap(
    open_page: OpenPage, services: FakeServices
) -> None:
    customers = services.customers
    page = await open_page("/customer?view=told", role="customer", locale="en-US", branches=())
    await expect(page.get_by_text("Tell me of branches (optional)")).to_be_visible()
    await expect(page.get_by_text("You have not been told of anything")).to_be_visible()
    # Other words came into force while these were read: nothing is agreed to unread.
    customers.words = {"version": "v2", "title": "Other words", "body": "At most 2 a week."}
    await page.get_by_role("button", name="Yes, tell me").click()
    await expect(page.get_by_text("The words have changed.")).to_be_visible()
    await expect(page.get_by_text("Other words")).to_be_visible()
    await page.get_by_role("button", name="Yes, tell me").click()
    await expect(page.get_by_text("At most 2 a week, and none between 21:00 and 08:00.")).to_be_visible()
    assert customers.said[-1]["text_version"] == "v2"
    assert customers.said[-1]["time_zone"]
    customers.tell(services)
    await expect(page.locator(".told .alerts li")).to_contain_text("A branch for you: Morning sauna")
    await page.get_by_role("button", name="Stop telling me").click()
    await expect(page.get_by_text("You get no messages any more.").first).to_be_visible()
    assert customers.said[-1] == {"given": False}


async def test_own_data_are_taken_along_or_deleted_after_a_question(
    open_page: OpenPage, services: FakeServices, tmp_path: Path
) -> None:
    page = await open_page("/customer?view=me", role="customer", locale="en-US", branches=())
    services.customers.away.add("export")
    await page.get_by_role("button", name="Save my data").click()
    await expect(page.locator(".trouble")).to_contain_text("The service is away for a moment.")
    services.customers.away.clear()
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Save my data").click()
    download = await coming.value
    await download.save_as(tmp_path / "data.json")
    assert (tmp_path / "data.json").read_text() == '{"person": "kim"}'
    await page.get_by_role("button", name="Delete my data").click()
    await page.get_by_role("button", name="Keep my data").click()
    assert services.customers.erasures == []
    await page.get_by_role("button", name="Delete my data").click()
    await page.get_by_role("button", name="Delete for good").click()
    await expect(page.get_by_text("Your data are being deleted").first).to_be_visible()
    assert services.customers.erasures == [{"confirm": "erase"}]
    await page.reload()
    await expect(page.get_by_text("Your data are being deleted")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete my data")).to_have_count(0)
