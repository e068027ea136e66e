"""The owner confirms by key and by finger, takes it back in time, and chooses what comes first."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page

from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The button can be pressed: not at once, since a second tap may still be on its way.
READY = "[data-do=confirm]:not([disabled])"
SHIRT = {"label": "shirt", "count": 1}
PATIENT = "localStorage.setItem('laundry.undo-s', '120');"
AWAY = Problem(503, "database-unavailable", "The database is not reachable.")


async def press(page: Page, code: str, key: str = "", **more: Any) -> None:
    """Press a key where no field is: by its place, with what it writes."""
    event = json.dumps({"code": code, "key": key or code, "bubbles": True, "cancelable": True, **more})
    await page.evaluate(f"() => {{ document.body.dispatchEvent(new KeyboardEvent('keydown', {event})); }}")


async def swipe(page: Page, dx: int, *, let_go: bool = True) -> None:
    """Move a finger over the card."""
    await page.evaluate(
        """([dx, letGo]) => {
          const card = document.querySelector(".confirm-card");
          const point = (type, x) => card.dispatchEvent(new PointerEvent(type, {
            bubbles: true, pointerId: 7, pointerType: "touch", isPrimary: true, clientX: x, clientY: 300 }));
          point("pointerdown", 100);
          for (let step = 1; step <= 5; step += 1) point("pointermove", 100 + (dx * step) / 5);
          if (letGo) point("pointerup", 100 + dx);
        }""",
        [dx, let_go],
    )


async def test_what_was_confirmed_is_taken_back_within_its_time(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93)])
    page = await open_page("/owner", role="owner", locale="en-US", script=PATIENT)
    await page.get_by_role("button", name="Yes, shirt").click()
    undo = page.get_by_role("button", name="Undo: shirt")
    await expect(undo).to_contain_text(" s")
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    await undo.click()
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", task["id"])
    await expect(page.locator("#polite")).to_contain_text("Taken back: shirt")
    await expect(undo).to_have_count(0)
    await expect(page.locator(".done-row")).to_have_count(0)
    assert services.history.taken_back == [task["id"]]
    # Once more, and this time it is too late: that is said, and nothing is shown that is not so.
    services.history.final = True
    await page.get_by_role("button", name="Yes, shirt").click()
    await undo.click()
    await expect(page.locator(".done-row.last, .last")).to_contain_text("Too late: it counts already.")
    await expect(undo).to_have_count(0)
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    assert services.tasks[task["id"]]["status"] == "confirmed"
    assert [labels for _, labels in services.confirmations] == [[SHIRT], [SHIRT]]


async def test_what_could_not_be_taken_back_for_a_moment_can_still_be(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93)])
    page = await open_page("/owner", role="owner", locale="en-US", script=PATIENT)
    await page.get_by_role("button", name="Yes, shirt").click()
    undo = page.get_by_role("button", name="Undo: shirt")
    await expect(undo).to_be_visible()
    await page.context.set_offline(True)
    told = page.locator(".last-done .why")
    for _ in range(2):
        await undo.click()
        await expect(told).to_contain_text("The server cannot be reached.")
        await expect(page.locator(".undo button:not([disabled])")).to_contain_text(" s")
    await page.context.set_offline(False)
    await undo.click()
    await expect(page.locator(".confirm-card")).to_have_attribute("data-id", task["id"])
    await expect(undo).to_have_count(0)
    await expect(told).to_have_count(0)
    assert services.history.taken_back == [task["id"]]


async def test_what_was_taken_back_is_not_offered_again_because_the_answer_was_lost(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93)])
    services.history.lose_answer = asyncio.Event()
    page = await open_page("/owner", role="owner", locale="en-US", script=PATIENT)
    await page.get_by_role("button", name="Yes, shirt").click()
    undo = page.get_by_role("button", name="Undo: shirt")
    await undo.click()
    await expect(page.locator(".confirm-card")).to_have_attribute("data-id", task["id"])
    await expect(page.locator(".undo button[disabled]")).to_have_count(1)
    services.history.lose_answer.set()
    await expect(undo).to_have_count(0)
    await expect(page.locator("#polite")).to_contain_text("Taken back: shirt")
    await expect(page.locator(".last-done .why")).to_have_count(0)


async def test_undo_also_means_a_confirmation_that_is_still_on_its_way(
    open_page: OpenPage, services: FakeServices
) -> None:
    first = services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    second = services.add_task("read", labels=[("hat", 0.9)], minutes_ago=3)
    page = await open_page("/owner", role="owner", locale="en-US", desktop=True)
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", first["id"])
    await page.get_by_role("button", name="Yes, shirt").click()
    await expect(page.get_by_role("button", name="Undo: shirt")).to_be_visible()
    await expect(card).to_have_attribute("data-id", second["id"])
    await expect(card.locator(READY)).to_be_visible()
    # Both keys before anything can have been answered: not the one that was confirmed before.
    services.hold_confirmations = asyncio.Event()
    await press(page, "KeyY", "y")
    await press(page, "KeyU", "u")
    services.hold_confirmations.set()
    await expect(page.locator("#polite")).to_contain_text("Taken back: hat")
    assert services.history.taken_back == [second["id"]]


async def test_a_finger_confirms_to_the_right_and_corrects_to_the_left(
    open_page: OpenPage, services: FakeServices
) -> None:
    first = services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    second = services.add_task("unreadable", minutes_ago=2)
    page = await open_page("/owner", role="owner", locale="en-US")
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", second["id"])
    # Nothing is offered yet that could be confirmed: letting go does nothing.
    await expect(card.get_by_role("button", name="hat", exact=True)).to_be_visible()
    await swipe(page, 300)
    await page.locator(f".strip [data-id='{first['id']}'] button").click()
    await expect(card.locator(READY)).to_be_visible()
    await swipe(page, 300, let_go=False)
    await expect(card).to_have_attribute("data-hint", "Yes, shirt")
    await swipe(page, 40)
    await swipe(page, -300)
    await expect(card).to_have_attribute("data-mode", "correcting")
    await card.get_by_role("button", name="Back").click()
    await expect(card.locator(READY)).to_be_visible()
    assert services.confirmations == []
    await swipe(page, 300)
    await expect(page.locator("#polite")).to_contain_text("Confirmed shirt")
    assert services.confirmations == [(first["id"], [SHIRT])]


async def test_all_is_done_by_keys_also_on_a_korean_keyboard_and_they_can_be_turned_off(
    open_page: OpenPage, services: FakeServices
) -> None:
    one = services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    other = services.add_task("read", labels=[("hat", 0.9)], minutes_ago=3)
    longer = "localStorage.setItem('laundry.undo-s', '30');"
    page = await open_page("/owner", role="owner", desktop=True, script=longer)
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", one["id"])
    await press(page, "KeyJ", "ㅓ")
    await expect(card).to_have_attribute("data-id", other["id"])
    await press(page, "KeyK", "ㅏ")
    await expect(card).to_have_attribute("data-id", one["id"])
    await press(page, "KeyE", "ㄷ")
    await expect(card.locator(".chip").first).to_be_visible()
    await press(page, "Digit1", "1")
    await press(page, "Digit2", "2")
    await expect(card.locator("[aria-pressed=true]")).to_have_count(3)
    await press(page, "Escape")
    await expect(card).to_have_attribute("data-mode", "reading")
    await expect(card.locator(READY)).to_be_visible()
    # A browser's own keys, and a key that is held, confirm nothing.
    await press(page, "KeyY", "y", ctrlKey=True)
    await press(page, "KeyY", "y", repeat=True)
    assert services.confirmations == []
    await press(page, "KeyY", "ㅛ")
    await expect(card).to_have_attribute("data-id", other["id"])
    assert services.confirmations == [(one["id"], [SHIRT])]
    await press(page, "KeyU", "ㅕ")
    await expect(card).to_have_attribute("data-id", one["id"])
    assert services.history.taken_back == [one["id"]]

    await press(page, "Slash", "?", shiftKey=True)
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("마지막 확인 되돌리기")
    await page.get_by_role("button", name="한 글자 단축키 사용").click()
    await page.locator("#undo-s").select_option("120")
    await dialog.get_by_role("button", name="알겠습니다").click()
    await expect(dialog).to_have_count(0)
    await press(page, "KeyJ", "j")
    await expect(card).to_have_attribute("data-id", one["id"])
    await expect(card.locator(READY)).to_be_visible()
    await card.get_by_role("button", name="맞아요, 셔츠 1점").click()
    await expect(page.get_by_role("button", name="되돌리기: 셔츠 1점")).to_contain_text("1")
    until = services.tasks[one["id"]]["confirmation"]["undo_until"]
    assert services.at(-1) < until < services.at(-2.1)


async def test_what_comes_first_and_of_which_branch_is_chosen_and_kept(
    open_page: OpenPage, services: FakeServices
) -> None:
    sure = services.add_task("read", labels=[("shirt", 0.95)], minutes_ago=30)
    unsure = services.add_task("read", labels=[("hat", 0.4)], needs_review=True, minutes_ago=5)
    there = services.add_task("read", labels=[("pants", 0.4)], branch_id="b2", minutes_ago=50)
    page = await open_page("/owner", role="owner", locale="en-US", branches=("b1", "b2"), sub="lee")
    card = page.locator(".confirm-card")
    await expect(card).to_have_attribute("data-id", unsure["id"])
    await page.get_by_role("button", name="Unsure first").click()
    await expect(card).to_have_attribute("data-id", there["id"])
    await page.get_by_label("Branch").select_option("b1")
    await expect(card).to_have_attribute("data-id", sure["id"])
    await expect(page.locator(".strip li")).to_have_count(2)
    await expect(page.locator(".count-badge").first).to_have_text("2")
    # News of another branch is no news here.
    services.add_task("read", labels=[("pants", 0.4)], branch_id="b2")
    await page.reload()
    await expect(card).to_have_attribute("data-id", sure["id"])
    await expect(page.locator(".strip li")).to_have_count(2)
    await page.get_by_label("Branch").select_option("")
    await expect(page.locator(".strip li")).to_have_count(4)


async def test_a_card_in_hand_stays_when_its_branch_is_chosen(
    open_page: OpenPage, services: FakeServices
) -> None:
    here = services.add_task("unreadable", minutes_ago=9)
    there = services.add_task("unreadable", branch_id="b2", minutes_ago=3)
    page = await open_page("/owner", role="owner", locale="en-US", branches=("b1", "b2"))
    card, count = page.locator(".confirm-card"), page.locator(".count-badge").first
    await expect(card).to_have_attribute("data-id", here["id"])
    await card.get_by_role("button", name="hat", exact=True).click()
    await page.get_by_label("Branch").select_option("b1")
    await expect(count).to_have_text("1")
    await expect(card).to_be_visible()
    await expect(card).to_have_attribute("data-id", here["id"])
    await expect(card.get_by_role("button", name="Confirm hat")).to_be_visible()
    # Of another branch it is not there to be pressed.
    await page.get_by_label("Branch").select_option("b2")
    await expect(card).to_have_attribute("data-id", there["id"])
    await page.get_by_label("Branch").select_option("b1")
    await expect(card.get_by_role("button", name="Choose what it is")).to_be_disabled()


async def test_a_branch_whose_list_fails_is_told_until_it_comes(
    open_page: OpenPage, services: FakeServices
) -> None:
    here = services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    services.add_task("read", labels=[("hat", 0.9)], branch_id="b2", minutes_ago=3)
    page = await open_page("/owner", role="owner", locale="en-US", branches=("b1", "b2"))
    card, told = page.locator(".confirm-card"), page.locator(".trouble")
    await expect(page.locator(".count-badge").first).to_have_text("2")
    services.refuse["tasks"] = AWAY
    await page.get_by_label("Branch").select_option("b1")
    await expect(told).to_contain_text("The service is away for a moment.")
    services.refuse.clear()
    await told.get_by_role("button", name="Try again").click()
    await expect(card).to_be_visible()
    await expect(card).to_have_attribute("data-id", here["id"])
    await expect(told).to_have_count(0)
    await expect(page.locator(".count-badge").first).to_have_text("1")


async def test_a_late_list_of_another_branch_does_not_say_that_all_is_confirmed(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    page = await open_page("/owner", role="owner", locale="en-US", branches=("b1", "b2"))
    asked = ("GET", "/tasks")
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(asked) == 2, what="both lists asked for")
    await expect(page.locator(".count-badge").first).to_have_text("1")
    services.hold_lists = asyncio.Event()
    await page.get_by_label("Branch").select_option("b1")
    await eventually(lambda: services.requests.count(asked) == 3, what="the list of b1 asked for")
    services.refuse["tasks"] = AWAY
    await page.get_by_label("Branch").select_option("b2")
    told = page.locator(".trouble")
    await expect(told).to_be_visible()
    services.hold_lists.set()
    come = "performance.getEntriesByType('resource').some(({ name }) => name.includes('branch_id=b1'))"
    await eventually(lambda: page.evaluate(come), what="the list of b1")
    await expect(told).to_be_visible()
    await expect(page.get_by_text("All confirmed")).to_have_count(0)
    services.refuse.clear()
    await told.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("All confirmed")).to_be_visible()
    await expect(told).to_have_count(0)
