import asyncio

import pytest

from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import HURRY, expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AWAY = Problem(502, "bad-gateway", "Nobody answers.")
# So that nothing comes by itself after a pause.
NO_PAUSE_ENDS = """
  const wait = setTimeout;
  window.setTimeout = (job, ms, ...more) => (ms >= 1000 ? 0 : wait(job, ms, ...more));
"""


async def test_one_tap_confirms_the_best_guess(open_page: OpenPage, services: FakeServices) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93), ("dress", 0.05)])
    page = await open_page("/", role="owner", locale="en-US")
    card = page.locator(".confirm-card")
    await expect(card.get_by_text("93% sure")).to_be_visible()
    await expect(card.get_by_role("img")).to_be_visible()
    await card.get_by_role("button", name="Yes, shirt").click()
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    await expect(page.locator(".done-row").get_by_text("shirt")).to_be_visible()
    await expect(page.locator("#polite")).to_contain_text("Confirmed shirt")
    assert services.confirmations == [(task["id"], [{"label": "shirt", "count": 1}])]


async def test_a_photo_past_its_time_says_for_how_long_it_was_kept(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93)])
    services.kept_days[task["id"]] = 90
    page = await open_page("/", role="owner", locale="en-US")
    await expect(page.locator(".confirm-card").get_by_text("Photo deleted after 90 days")).to_be_visible()
    await expect(page.locator("a[href='/privacy#en']")).to_be_visible()


async def test_a_picture_that_fails_comes_after_a_while(open_page: OpenPage, services: FakeServices) -> None:
    services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=5)
    services.add_task("read", labels=[("hat", 0.9)])
    services.refuse["photo"] = AWAY
    page = await open_page("/", role="owner", locale="en-US", script=HURRY)
    large = page.locator(".confirm-card .photo")
    await expect(large).to_have_attribute("data-state", "missing")
    await expect(large.get_by_text("No preview here")).to_be_visible()
    await expect(page.locator(".strip [data-state=missing]")).to_have_count(2)
    services.refuse.clear()
    await expect(large.locator("img")).to_be_visible()
    await expect(large).to_have_attribute("data-state", "shown")
    # It is the picture now that has a name.
    await expect(page.locator(".photo[role], .photo[aria-label]")).to_have_count(0)
    await expect(page.locator(".strip [data-state=shown]")).to_have_count(2)


async def test_a_picture_that_fails_comes_as_soon_as_there_is_a_signal(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.add_task("read", labels=[("shirt", 0.93)])
    services.refuse["photo"] = AWAY
    page = await open_page("/", role="owner", locale="en-US", script=NO_PAUSE_ENDS)
    large = page.locator(".confirm-card .photo")
    await expect(large).to_have_attribute("data-state", "missing")
    services.refuse.clear()
    await page.evaluate("() => { dispatchEvent(new Event('online')); }")
    await expect(large).to_have_attribute("data-state", "shown")


async def test_correction_chooses_labels_and_counts(open_page: OpenPage, services: FakeServices) -> None:
    task = services.add_task("read", labels=[("skirt", 0.48), ("shorts", 0.31)], needs_review=True)
    page = await open_page("/", role="owner")
    await page.get_by_role("button", name="고치기").click()
    await page.get_by_role("button", name="치마", exact=True).click()
    await page.get_by_role("button", name="바지", exact=True).click()
    await page.get_by_role("button", name="모자", exact=True).click()
    await page.get_by_role("button", name="바지 하나 더하기").click()
    await page.get_by_role("button", name="바지 하나 더하기").click()
    await page.get_by_role("button", name="바지 하나 빼기").click()
    await page.get_by_role("button", name="바지 2점, 모자 1점으로 확인").click()
    await expect(page.get_by_text("고쳐서 확인함")).to_be_visible()
    assert services.confirmations == [
        (task["id"], [{"label": "pants", "count": 2}, {"label": "hat", "count": 1}])
    ]


async def test_another_guess_is_two_taps(open_page: OpenPage, services: FakeServices) -> None:
    services.models_work = False
    services.add_task("read", labels=[("skirt", 0.48), ("shorts", 0.31)], needs_review=True)
    page = await open_page("/", role="owner", locale="en-US")
    await page.get_by_role("button", name="shorts 31%").click()
    # The models cannot be asked; what may be confirmed is known elsewhere too.
    await expect(page.get_by_role("button", name="outerwear")).to_be_visible()
    await page.get_by_role("button", name="Confirm shorts").click()
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    assert services.confirmations[0][1] == [{"label": "shorts", "count": 1}]


async def test_several_garments_are_named_as_such_and_counted_by_the_owner(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.9)], multiple=True)
    page = await open_page("/", role="owner", locale="en-US")
    card = page.locator(".confirm-card")
    await expect(card.get_by_text("Looks like several garments")).to_be_visible()
    await expect(card.get_by_role("button", name="Choose what it is")).to_be_disabled()
    # One guess is no list of several to begin from.
    await expect(card.get_by_role("button", name="Start from")).to_have_count(0)
    # No single guess is offered for one tap: it would be a wrong answer to what is on the photo.
    await expect(card.get_by_role("button", name="Yes, shirt")).to_have_count(0)
    await card.get_by_role("button", name="shirt", exact=True).click()
    await card.get_by_role("button", name="pants", exact=True).click()
    await card.get_by_role("button", name="One pants more").click()
    await card.get_by_role("button", name="Confirm shirt, 2 × pants").click()
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    assert services.confirmations == [
        (task["id"], [{"label": "shirt", "count": 1}, {"label": "pants", "count": 2}])
    ]


async def test_what_was_found_of_several_garments_is_where_counting_can_begin(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.9, 2), ("pants", 0.7, 1)], multiple=True)
    page = await open_page("/", role="owner", locale="en-US")
    card = page.locator(".confirm-card")
    await card.get_by_role("button", name="Start from 2 × shirt, pants").click()
    await expect(card.get_by_role("button", name="Start from")).to_have_count(0)
    await card.get_by_role("button", name="One pants more").click()
    await card.get_by_role("button", name="One shirt fewer").click()
    await card.get_by_role("button", name="Confirm shirt, 2 × pants").click()
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    assert services.confirmations == [
        (task["id"], [{"label": "shirt", "count": 1}, {"label": "pants", "count": 2}])
    ]


async def test_who_needs_a_person_comes_first_and_news_does_not_move_the_card(
    open_page: OpenPage, services: FakeServices
) -> None:
    sure = services.add_task("read", labels=[("shirt", 0.95)], minutes_ago=30)
    unsure = services.add_task("read", labels=[("hat", 0.4)], needs_review=True, minutes_ago=5)
    page = await open_page("/", role="owner", locale="en-US")
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", unsure["id"])
    unreadable = services.add_task("unreadable", minutes_ago=20)
    await expect(page.locator(".strip li")).to_have_count(3)
    await expect(card).to_have_attribute("data-id", unsure["id"])
    await card.get_by_role("button", name="Yes, hat").click()
    await expect(card).to_have_attribute("data-id", unreadable["id"])
    await expect(card.get_by_text("The photo is cut off and could not be read.")).to_be_visible()
    await expect(card.get_by_role("button", name="Choose what it is")).to_be_disabled()
    await card.get_by_role("button", name="dress").click()
    await card.get_by_role("button", name="Confirm dress").click()
    await expect(card).to_have_attribute("data-id", sure["id"])
    # Another owner of the branch is faster.
    task = services.tasks[sure["id"]]
    task |= {"status": "confirmed"}
    services.tell("tasks", task)
    await expect(page.get_by_text("All confirmed")).to_be_visible()


async def test_a_list_that_is_late_does_not_hide_what_came_meanwhile(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.hold_lists = asyncio.Event()
    page = await open_page("/", role="owner", locale="en-US")
    await eventually(lambda: len(services.listeners["tasks"]) == 1, what="a page that listens")
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(("GET", "/tasks")) == 2, what="both lists asked for")
    task = services.add_task("read", labels=[("hat", 0.4)], needs_review=True)
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", task["id"])
    services.hold_lists.set()
    await expect(page.locator(".count-badge").first).to_have_text("1")
    await expect(card).to_have_attribute("data-id", task["id"])


async def test_failed_confirmation_is_told_and_can_be_repeated(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.add_task("read", labels=[("shirt", 0.93)])
    services.refuse["confirm"] = Problem(503, "database-unavailable", "The database is not reachable.")
    page = await open_page("/", role="owner")
    await page.get_by_role("button", name="맞아요, 셔츠 1점").click()
    await expect(page.get_by_role("alert").get_by_text("서비스가 잠시 쉬고 있습니다.")).to_be_visible()
    services.refuse.clear()
    await page.get_by_role("button", name="맞아요, 셔츠 1점").click()
    await expect(page.get_by_text("모두 확인했습니다")).to_be_visible()
    assert len(services.confirmations) == 1


async def test_fault_appears_by_itself_in_the_readers_language(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.add_equipment("washer-3")
    page = await open_page("/", role="owner")
    await expect(page.get_by_text("정상")).to_be_visible()
    services.fault("washer-3")
    banner = page.locator(".banner")
    await expect(banner.get_by_text("세탁기 washer-3 고장 (E42)")).to_be_visible()
    await expect(page.locator("#urgent")).to_contain_text("세탁기 washer-3 고장")
    await expect(page.locator(".equipment").get_by_text("고장 코드 · E42")).to_be_visible()
    await expect(page).to_have_title("(1) 설비 알림 · 확인 · 스마트 세탁")
    await page.get_by_role("button", name="English").click()
    await expect(banner.get_by_text("Washer washer-3 failed (E42)")).to_be_visible()
    await banner.get_by_role("button", name="Got it").click()
    await expect(banner).to_have_count(0)
    # What was seen is not announced again; it stays in the list.
    await page.reload()
    await expect(page.locator(".alerts").get_by_text("Washer washer-3 failed (E42)")).to_be_visible()
    await expect(banner).to_have_count(0)


async def test_open_faults_are_announced_where_nobody_was_notified(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.fault("washer-3", notified=False, minutes_ago=1)
    page = await open_page("/", role="owner", locale="en-US", script=HURRY)
    alerts, banner = page.locator(".alerts"), page.locator(".banner")
    await expect(alerts).to_contain_text("washer-3")
    await expect(alerts).not_to_contain_text("No alerts")
    await expect(banner).to_contain_text("Washer washer-3 is in fault")
    await expect(banner).to_contain_text("E42")
    await expect(page).to_have_title("(1) Equipment alerts · Confirm · Smart Laundry")
    await banner.get_by_role("button", name="Got it").click()
    await expect(banner).to_have_count(0)
    await page.reload()
    await expect(alerts).to_contain_text("washer-3")
    # Known already; the next is not, until the error is over.
    services.fault("washer-4", notified=False)
    await expect(banner).to_contain_text("Washer washer-4 is in fault")
    services.repair("washer-4")
    await expect(banner).to_have_count(0)
    # A notification says more, and takes the place of what was said without it.
    services.fault("washer-5", notified=False, minutes_ago=0.5)
    await expect(banner).to_contain_text("Washer washer-5 is in fault")
    services.notify("washer-5")
    await expect(banner).to_contain_text("Washer washer-5 failed (E42)")
    services.repair("washer-3")
    services.repair("washer-5")
    await expect(page.locator("[data-state=faulty]")).to_have_count(0)


async def test_no_alerts_are_said_once_all_is_well(open_page: OpenPage, services: FakeServices) -> None:
    services.fault("washer-3", notified=False)
    page = await open_page("/", role="owner", locale="en-US")
    await expect(page.locator(".alerts")).to_contain_text("washer-3")
    services.repair("washer-3")
    await expect(page.locator(".alerts")).to_contain_text("No alerts")
