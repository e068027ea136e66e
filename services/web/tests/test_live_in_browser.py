"""Every tab is live over one connection, and what was left out is fetched."""

import pytest
from playwright.async_api import Page

from laundry_testing.messaging import eventually

from .browsers import HURRY, expect
from .conftest import OpenPage
from .fake_provider import Person
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CHANNELS = ("tasks", "notifications", "equipment")
TABS = 4
STORM = 60


def connections(services: FakeServices) -> list[int]:
    return [len(services.listeners[channel]) for channel in CHANNELS]


async def test_all_tabs_are_live_over_one_connection_and_stay_so_when_its_tab_closes(
    open_page: OpenPage, services: FakeServices
) -> None:
    first = await open_page("/", role="owner", locale="en-US", desktop=True)
    await expect(first.get_by_role("heading", name="Waiting for you")).to_be_visible()
    await eventually(lambda: connections(services) == [1, 1, 1], what="one stream of each kind")
    tabs = [first]
    for _ in range(TABS - 1):
        tab = await first.context.new_page()
        await tab.goto("/owner")
        await expect(tab.get_by_role("heading", name="Equipment", exact=True)).to_be_visible()
        tabs.append(tab)

    async def all_show(machine: str, of: list[Page]) -> None:
        services.add_equipment(machine)
        for tab in of:
            await expect(tab.locator(".equipment").get_by_text(machine)).to_be_visible()

    await all_show("washer-of-four", tabs)
    assert connections(services) == [1, 1, 1]
    await first.close()
    await eventually(lambda: connections(services) == [1, 1, 1], what="another tab leads")
    await all_show("washer-of-three", tabs[1:])
    for tab in tabs[1:]:
        await expect(tab.get_by_text("Live updates are interrupted")).to_be_hidden()


async def test_a_tab_without_locks_has_a_stream_of_its_own(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", locale="en-US", desktop=True)
    await page.context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    for tab in (page, await page.context.new_page()):
        # An owner's two tabs would take all six connections that a browser has for a host.
        await tab.goto(open_page.signed_in("/", Person("kim", "helper")))
        await tab.reload()
        await expect(tab.get_by_text("Nothing registered yet")).to_be_visible()
    await eventually(lambda: connections(services) == [2, 0, 0], what="a stream for each tab")


async def test_a_tab_that_fell_asleep_with_the_connection_is_relieved(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", locale="en-US", desktop=True)
    # Holds the lock of every stream that is asked for, and says nothing: a tab that the phone froze.
    asleep = await page.context.new_page()
    await asleep.goto("/static/icon.svg")
    await asleep.evaluate(
        """() => {
          for (const path of ["helper/tasks", "notification/notifications", "monitoring/equipment"]) {
            const name = `laundry-stream /api/${path}/stream en kim owner b1`;
            navigator.locks.request(name, () => new Promise(() => {})).catch(() => {});
          }
        }"""
    )
    await page.context.add_init_script(HURRY)
    await page.goto(open_page.signed_in("/", Person("kim", "owner")))
    await page.reload()
    await eventually(lambda: connections(services) == [1, 1, 1], what="the tab that is awake leads")


async def test_a_reset_fetches_what_was_left_out_and_goes_on_until_it_has_it(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", role="owner", locale="en-US", desktop=True)
    services.fault("washer-1")
    await expect(page.locator(".equipment li")).to_have_count(1)
    # Changed without a word, as what a listener that fell behind is not told.
    services.equipment["washer-1"]["state"] = "ok"
    services.equipment["dryer-1"] = services.equipment["washer-1"] | {"id": "dryer-1"}
    services.reset("equipment")
    await expect(page.locator(".equipment li")).to_have_count(2)
    await expect(page.locator(".equipment li[data-state=faulty]")).to_have_count(0)


async def test_equipment_that_left_the_branch_leaves_the_page(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", role="owner", locale="en-US", desktop=True)
    services.fault("washer-1")
    await expect(page.locator(".equipment li")).to_have_count(1)
    services.tell("equipment", {"id": "washer-1", "branch_id": "b2", "gone": True})
    services.add_equipment("dryer-1", "dryer")
    await expect(page.locator(".equipment li")).to_have_count(2)
    del services.equipment["washer-1"]
    services.tell("equipment", {"id": "washer-1", "branch_id": "b1", "gone": True})
    await expect(page.locator(".equipment .machine")).to_have_text(["Dryerdryer-1"])


async def test_a_storm_shows_whole_and_takes_neither_focus_nor_undo(
    open_page: OpenPage, services: FakeServices
) -> None:
    first = services.add_task("read", labels=[("shirt", 0.93)], minutes_ago=9)
    for minutes_ago in (8, 7):
        services.add_task("read", labels=[("hat", 0.9)], minutes_ago=minutes_ago)
    patient = "localStorage.setItem('laundry.undo-s', '120');"
    page = await open_page("/owner", role="owner", locale="en-US", desktop=True, script=patient)
    await page.get_by_role("button", name="Yes, shirt").click()
    undo = page.get_by_role("button", name="Undo: shirt")
    await expect(undo).to_be_visible()
    held = page.locator(".strip button").last
    await held.focus()
    for number in range(STORM):
        services.fault(f"washer-{number}", notified=False)
        services.add_task("read", labels=[("pants", 0.8)])
    for number in range(1, STORM):
        services.repair(f"washer-{number}")
    await expect(page.locator(".equipment li")).to_have_count(STORM)
    faulty = page.locator(".equipment li[data-state=faulty] .machine")
    await expect(faulty).to_have_text(["Washerwasher-0"])
    await expect(page.locator(".alerts [data-faults]")).to_have_count(1)
    await expect(page.locator(".banner")).to_have_count(1)
    await expect(page.locator(".strip li")).to_have_count(STORM + 2)
    await expect(page.locator(".count-badge").first).to_have_text(str(STORM + 2))
    assert await page.evaluate("document.activeElement.matches('.strip button')")
    await undo.click()
    await expect(page.locator(".confirm-card")).to_have_attribute("data-id", first["id"])
    await expect(page.locator(".strip li")).to_have_count(STORM + 3)


async def test_too_many_open_pages_are_said_and_the_list_is_polled(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.crowded = True
    page = await open_page("/", role="helper", locale="ko-KR", script=HURRY)
    await expect(page.get_by_text("열려 있는 화면이 너무 많아")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_text("Too many pages are open")).to_be_visible()
    services.add_task("read", labels=[("hat", 0.9)])
    await expect(page.locator(".load")).to_have_count(1)
    services.crowded = False
    await expect(page.get_by_text("Too many pages are open")).to_be_hidden()
