import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import HURRY, expect
from .conftest import OpenPage
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def pick(page: Page, *files: Path) -> None:
    await page.get_by_label("Album").set_input_files(list(files))


async def test_photo_is_registered_at_once_and_its_reading_arrives(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US", branches=("b1", "b2"))
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(("GET", "/tasks")) >= 2, what="both lists asked for")
    await page.get_by_label("Branch").select_option("b2")
    await page.get_by_label("Note (optional)").fill("third floor")
    await page.get_by_label("Take a photo").set_input_files(photo_file)
    row = page.locator(".load")
    await expect(row.get_by_text("Registered · being read")).to_be_visible()
    await expect(row.get_by_role("img")).to_be_visible()
    [task] = services.tasks.values()
    assert (task["branch_id"], task["note"]) == ("b2", "third floor")
    assert services.photos[task["id"]] == photo_file.read_bytes()
    # No reload, no second request for the list: the change comes by itself.
    lists = services.requests.count(("GET", "/tasks"))
    services.read(task["id"], [("shirt", 0.93), ("dress", 0.04)])
    await expect(row.get_by_text("shirt")).to_be_visible()
    await expect(row.get_by_text("93%")).to_be_visible()
    assert services.requests.count(("GET", "/tasks")) == lists
    # The phone has the photo; it is not fetched again.
    assert ("GET", f"/tasks/{task['id']}/photo") not in services.requests


async def test_progress_is_shown_and_what_needs_the_owner_is_said(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.hold_uploads = asyncio.Event()
    page = await open_page("/", role="helper", locale="en-US")
    await pick(page, photo_file)
    await expect(page.get_by_role("progressbar", name="Upload progress")).to_have_js_property("value", 1)
    services.hold_uploads.set()
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    [task_id] = services.tasks
    services.read(task_id, [("skirt", 0.4)], needs_review=True)
    await expect(page.get_by_text("Read · the owner checks it")).to_be_visible()
    services.read(task_id, None)
    await expect(page.get_by_text("Not readable")).to_be_visible()


async def test_photos_wait_offline_survive_a_restart_and_are_sent_once(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await open_page.cut_off(page)
    await pick(page, photo_file)
    await pick(page, photo_file)
    await expect(page.get_by_text("2 photos are safe on this phone")).to_be_visible()
    await expect(page.get_by_text("Waiting to be sent")).to_have_count(2)
    # The phone kills the page and opens it again, still without a signal.
    await page.reload()
    await expect(page.get_by_text("Waiting to be sent")).to_have_count(2)
    assert services.uploads == []
    await open_page.connect(page)
    await expect(page.get_by_text("Registered · being read")).to_have_count(2)
    assert len(services.tasks) == 2
    assert len({upload["key"] for upload in services.uploads}) == 2
    await page.reload()
    await expect(page.locator(".load")).to_have_count(2)
    await expect(page.get_by_text("Waiting to be sent")).to_have_count(0)


async def test_lost_answer_makes_no_second_task(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.lose_answers = 2
    page = await open_page("/", role="helper", locale="en-US", script=HURRY)
    await pick(page, photo_file)
    await eventually(lambda: len(services.uploads) == 3, what="the photo is sent until it is confirmed")
    await expect(page.locator(".load")).to_have_count(1)
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert len(services.tasks) == 1
    assert len({upload["key"] for upload in services.uploads}) == 1


async def test_refused_photo_says_why_and_stays_until_the_person_decides(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.refuse["upload"] = Problem(403, "branch-forbidden", "Not yours.")
    page = await open_page("/", role="helper")
    await page.get_by_label("앨범에서").set_input_files(photo_file)
    await expect(page.get_by_text("이 지점에 올릴 권한이 없습니다").last).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("등록되지 않았습니다")).to_be_visible()
    sent = len(services.uploads)
    del services.refuse["upload"]
    await page.get_by_role("button", name="다시 시도").click()
    await expect(page.get_by_text("등록됨 · 판독 중")).to_be_visible()
    assert len(services.uploads) == sent + 1
    services.refuse["upload"] = Problem(422, "something-new", "Told in English only.")
    await page.get_by_label("앨범에서").set_input_files(photo_file)
    await expect(page.get_by_text("Told in English only.")).to_be_visible()
    await page.get_by_role("button", name="버리기").click()
    await expect(page.locator(".load")).to_have_count(1)


async def test_what_is_wrong_with_the_file_is_not_tried_again(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper")
    for status, code, said in (
        (415, "photo-not-an-image", "사진이 아닙니다. 다른 파일을 고르세요."),
        (415, "photo-is-jpeg-xl", "JPEG XL은 받지 않습니다"),
        (422, "photo-truncated", "온전한 사진을 고르거나"),
    ):
        services.refuse["upload"] = Problem(status, code, "In English.")
        await page.get_by_label("앨범에서").set_input_files(photo_file)
        await expect(page.locator(".load").get_by_text(said)).to_be_visible()
        await expect(page.get_by_role("button", name="다시 시도")).to_have_count(0)
        await page.get_by_role("button", name="버리기").click()
        await expect(page.locator(".load")).to_have_count(0)


async def test_a_line_too_slow_is_told_and_the_person_decides(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.refuse["upload"] = Problem(408, "upload-too-slow", "In English.")
    page = await open_page("/", role="helper")
    await page.get_by_label("앨범에서").set_input_files(photo_file)
    await expect(page.get_by_text("연결이 느려서").last).to_be_visible()
    services.refuse.clear()
    await page.get_by_role("button", name="다시 시도").click()
    await expect(page.get_by_text("등록됨 · 판독 중")).to_be_visible()


async def test_refused_photo_holds_up_no_other(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.refuse["upload"] = Problem(413, "photo-too-large", "At most 30 MB.")
    page = await open_page("/", role="helper", locale="en-US")
    await pick(page, photo_file)
    await expect(page.get_by_text("At most 30 MB are taken").last).to_be_visible()
    services.refuse.clear()
    await pick(page, photo_file)
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    await expect(page.get_by_text("Not registered")).to_be_visible()


async def test_list_goes_on_when_streams_are_away_and_catches_up_when_they_are_back(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.streams_work = False
    page = await open_page("/", role="helper", locale="en-US", script=HURRY)
    await expect(page.get_by_text("Live updates are interrupted")).to_be_visible()
    services.add_task("read", labels=[("hat", 0.9)])
    await expect(page.locator(".load")).to_have_count(1)
    services.streams_work = True
    await expect(page.get_by_text("Live updates are interrupted")).to_be_hidden()
    # A stream that ends (a service that is replaced) is taken up again, and what happened meanwhile is there.
    services.break_streams()
    services.add_task("read", labels=[("shoes", 0.9)])
    await expect(page.locator(".load")).to_have_count(2)


async def test_older_tasks_come_page_by_page(open_page: OpenPage, services: FakeServices) -> None:
    for minutes in range(25):
        services.add_task("read", labels=[("hat", 0.9)], minutes_ago=60 - minutes)
    page = await open_page("/", role="helper", locale="en-US")
    await expect(page.locator(".load")).to_have_count(20)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".load")).to_have_count(25)
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    photos = re.compile(r"/tasks/[^/]+/photo")

    def fetched() -> set[str]:
        return {path for _, path in services.requests if photos.fullmatch(path)}

    await eventually(fetched, what="a photo")
    # Only what is, or nearly is, in view.
    assert len(fetched()) < 20


async def test_a_list_that_is_late_takes_back_no_older_tasks(
    open_page: OpenPage, services: FakeServices
) -> None:
    tasks = [
        services.add_task("read", labels=[("hat", 0.9)], minutes_ago=60 - minutes) for minutes in range(25)
    ]
    services.hold_lists = asyncio.Event()
    page = await open_page("/", role="helper", locale="en-US")
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(("GET", "/tasks")) == 2, what="both lists asked for")
    services.hold_lists.set()
    await expect(page.locator(".load")).to_have_count(20)
    services.hold_lists = asyncio.Event()
    gone = services.tasks.pop(tasks[-1]["id"])
    services.break_streams()
    await eventually(lambda: services.requests.count(("GET", "/tasks")) == 3, what="the list asked for again")
    late, services.hold_lists = services.hold_lists, None
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".load")).to_have_count(25)
    late.set()
    await expect(page.locator(f'.load[data-id="{gone["id"]}"]')).to_have_count(0)
    await expect(page.locator(".load")).to_have_count(24)
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()


async def test_a_list_that_is_fetched_again_leaves_no_gap_before_older_tasks(
    open_page: OpenPage, services: FakeServices
) -> None:
    for minutes in range(25):
        services.add_task("read", labels=[("hat", 0.9)], minutes_ago=60 - minutes)
    page = await open_page("/", role="helper", locale="en-US", script=HURRY)
    await expect(page.locator(".load")).to_have_count(20)
    asked = ("GET", "/tasks")
    # Once as the page opens and once as its stream greets.
    await eventually(lambda: services.requests.count(asked) == 2, what="both lists asked for")
    services.hold_lists = held = asyncio.Event()
    await page.get_by_role("button", name="Show more").click()
    await eventually(lambda: services.requests.count(asked) == 3, what="older tasks asked for")
    services.hold_lists = None
    services.streams_work = False
    services.break_streams()
    untold = services.add_task("read", labels=[("shoes", 0.9)])
    services.streams_work = True
    await expect(page.locator(f'.load[data-id="{untold["id"]}"]')).to_have_count(1)
    held.set()
    await expect(page.locator(".load")).to_have_count(26)


async def test_corrections_opened_again_while_on_their_way_come_once(
    open_page: OpenPage, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.9)])
    services.confirmed(task["id"], [("hat", 1)])
    page = await open_page("/", role="helper", locale="en-US")
    heading = page.get_by_text("What owners corrected")
    await expect(heading).to_be_visible()
    services.hold_lists = asyncio.Event()
    for _ in range(3):
        await heading.click()
    asked = ("GET", "/tasks/corrected")
    await eventually(lambda: services.requests.count(asked) == 2, what="them asked for twice")
    services.hold_lists.set()
    await expect(page.locator(".corrections .load")).to_have_count(1)


async def test_two_open_tabs_send_a_photo_once(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await open_page.cut_off(page)
    await pick(page, photo_file)
    await expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    other = await page.context.new_page()
    await other.goto("/helper")
    await expect(other.get_by_text("Waiting to be sent")).to_be_visible()
    services.hold_uploads = asyncio.Event()
    await open_page.connect(page)
    await eventually(lambda: services.uploads, what="one of them sends")
    services.hold_uploads.set()
    for tab in (page, other):
        await expect(tab.get_by_text("Registered · being read")).to_be_visible()
        await expect(tab.locator(".load")).to_have_count(1)
    assert len({upload["key"] for upload in services.uploads}) == 1
    assert len(services.tasks) == 1


async def test_news_that_overtakes_an_answer_is_not_undone(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    task = services.add_task()
    row = page.locator(".load")
    await expect(row).to_have_attribute("data-status", "submitted")
    before = dict(task)
    services.read(task["id"], [("hat", 0.9)])
    await expect(row).to_have_attribute("data-status", "read")
    services.tell("tasks", before)
    services.add_task()
    await expect(row).to_have_count(2)
    await expect(row.last).to_have_attribute("data-status", "read")
