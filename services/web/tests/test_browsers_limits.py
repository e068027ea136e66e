"""Whatever a browser holds back, refuses or never answers: the page opens, and a photo is sent."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from laundry_service.http.problems import Problem
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually

from .conftest import OpenPage
from .fake_services import FakeServices, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NEVER = "() => new Promise(() => {})"
DENIED = "() => Promise.reject(new DOMException('denied', 'SecurityError'))"
BLOB_PUT_FAILS = """
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = function (value) {
    if (Object.values(value).some((each) => each instanceof Blob)) {
      throw new DOMException("Error preparing Blob/File data to be stored in object store", "UnknownError");
    }
    return put.apply(this, arguments);
  };
"""
BLOCKED = """
  Object.defineProperty(window, "%s", {get() { throw new DOMException("no", "SecurityError"); }});
"""
PUT_FAILS = """
  IDBObjectStore.prototype.put = () => {
    throw new DOMException("no", "%s");
  };
"""
LIMITS = {
    "asks the person whether to persist": f"StorageManager.prototype.persist = {NEVER};",
    "database never opens": "IDBFactory.prototype.open = () => ({});",
    "database is blocked": BLOCKED % "indexedDB",
    "takes no blobs": BLOB_PUT_FAILS,
    "has no room": PUT_FAILS % "QuotaExceededError",
    "takes nothing": PUT_FAILS % "UnknownError",
    "grants no lock": f"LockManager.prototype.request = {NEVER};",
    "denies locks": f"LockManager.prototype.request = {DENIED};",
    "denies channels": "window.BroadcastChannel = class { constructor() { throw new DOMException('no'); } };",
    "never registers the worker": f"ServiceWorkerContainer.prototype.register = {NEVER};",
    "denies the worker": f"ServiceWorkerContainer.prototype.register = {DENIED};",
    "blocks cookies": BLOCKED % "localStorage",
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_page_opens_and_sends_whatever_the_browser(
    open_page: OpenPage, services: FakeServices, photo_file: Path, limit: str
) -> None:
    page = await open_page("/", role="helper", locale="en-US", script=LIMITS[limit])
    await expect(page.get_by_text("Nothing registered yet")).to_be_visible()
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert [upload["bytes"] for upload in services.uploads] == [photo_file.stat().st_size]
    if limit != "grants no lock":  # which a tab waits for longer than a test can
        [task_id] = services.tasks
        services.read(task_id, [("hat", 0.9)])
        await expect(page.locator(".garments")).to_contain_text("hat")


@pytest.mark.parametrize("limit", ["takes no blobs", None])
async def test_photo_outlives_a_reload_where_anything_can_be_written(
    open_page: OpenPage, services: FakeServices, photo_file: Path, limit: str | None
) -> None:
    services.refuse["upload"] = Problem(503, "service-away", "Away.")
    page = await open_page("/", role="helper", locale="en-US", script=LIMITS[limit] if limit else None)
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    services.refuse.clear()
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert services.uploads[-1]["bytes"] == photo_file.stat().st_size


@pytest.mark.parametrize(
    ("limit", "locale", "reason"),
    [
        ("has no room", "en-US", "This phone has no room"),
        ("has no room", "ko-KR", "저장할 공간이 없습니다"),
        ("takes nothing", "en-US", "This browser does not let the page keep photos"),
        ("takes nothing", "ko-KR", "이 브라우저에서는 사진을 저장해 둘 수 없습니다"),
    ],
)
async def test_photo_that_cannot_be_kept_is_said_to_be_so_and_waits_in_memory(
    open_page: OpenPage, services: FakeServices, photo_file: Path, limit: str, locale: str, reason: str
) -> None:
    services.hold_uploads = asyncio.Event()
    page = await open_page("/", role="helper", locale=locale, script=LIMITS[limit])
    await page.locator("input[multiple]").set_input_files(photo_file)
    await expect(page.locator(".notice")).to_contain_text(reason)
    await page.locator("input[multiple]").set_input_files(photo_file)
    await expect(page.locator(".load")).to_have_count(2)
    await expect(page.locator("[data-status=waiting]")).not_to_contain_text(
        "safe" if locale == "en-US" else "안전"
    )
    services.hold_uploads.set()
    await expect(page.locator("[data-status=submitted]")).to_have_count(2)
    # Nothing is at risk any more.
    await expect(page.locator(".notice")).to_have_count(0)


async def choose(page: Page, files: list[Path], *, unreadable: dict[int, str]) -> None:
    """Choose files of which some cannot be read: gone, or never handed over by the phone."""
    await page.evaluate(
        """(unreadable) => {
          const read = File.prototype.arrayBuffer;
          File.prototype.arrayBuffer = function () {
            const how = unreadable[this.name];
            if (how === undefined) return read.call(this);
            return Promise.reject(new DOMException("gone", how));
          };
        }""",
        {files[index].name: how for index, how in unreadable.items()},
    )
    await page.locator("input[multiple]").set_input_files(files)


@pytest.mark.parametrize(
    ("locale", "words", "others"),
    [("en-US", "Could not be read", "7 other photos"), ("ko-KR", "읽지 못한 사진", "나머지 7장")],
)
async def test_a_file_that_cannot_be_read_is_named_and_stops_no_other(
    open_page: OpenPage, services: FakeServices, tmp_path: Path, locale: str, words: str, others: str
) -> None:
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(1, 9)]
    for file in files:
        file.write_bytes(picture())
    page = await open_page("/", role="helper", locale=locale)
    await choose(page, files, unreadable={4: "NotFoundError"})
    alert = page.locator(".trouble")
    await expect(alert).to_contain_text(words)
    await expect(alert).to_contain_text("IMG_5.jpg (5/8)")
    await expect(alert).to_contain_text(others)
    await eventually(lambda: len(services.tasks) == 7, what="the others are sent")
    # It is still said when the list has been fetched anew.
    services.reset("tasks")
    await expect(page.locator(".load")).to_have_count(7)
    await expect(alert).to_contain_text("IMG_5.jpg")
    # Chosen again, it goes, and the words with it.
    await choose(page, [files[4]], unreadable={})
    await page.locator("input[multiple]").set_input_files(files[0])
    await expect(alert).to_have_count(0)


@pytest.mark.parametrize("which", [[0], [7], [0, 3, 7], list(range(8))])
async def test_whichever_files_cannot_be_read(
    open_page: OpenPage, services: FakeServices, tmp_path: Path, which: list[int]
) -> None:
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(1, 9)]
    for file in files:
        file.write_bytes(picture())
    page = await open_page("/", role="helper", locale="en-US")
    await page.get_by_label("Note (optional)").fill("third floor")
    await choose(page, files, unreadable=dict.fromkeys(which, "NotReadableError"))
    for index in which:
        await expect(page.locator(".trouble")).to_contain_text(f"IMG_{index + 1}.jpg")
    await eventually(lambda: len(services.tasks) == 8 - len(which), what="the others are sent")
    # The note is still there for when they are chosen again.
    await expect(page.get_by_label("Note (optional)")).to_have_value("third floor")


AHEAD = """
  const now = Date.now;
  Date.now = () => now() + %d * 3600000;
"""


@pytest.mark.parametrize("hours", [13, -13, 24 * 400])
@pytest.mark.parametrize("role", ["helper", "owner"])
async def test_the_clock_of_a_phone_decides_about_no_token(
    open_page: OpenPage, services: FakeServices, role: str, hours: int
) -> None:
    page = await open_page("/", role=role, locale="en-US", script=AHEAD % hours)
    await expect(page.locator(f".{role}")).to_be_visible()
    await page.reload()
    await expect(page.locator(f".{role}")).to_be_visible()
    await eventually(lambda: services.requests.count(("GET", "/tasks")) >= 3, what="the lists are fetched")
    await expect(page.locator(f".{role}")).to_be_visible()


@pytest.mark.parametrize("hours", [0, -13, 13])
async def test_a_token_whose_time_is_over_is_refused_by_the_service(
    open_page: OpenPage, identity: FileIdentity, hours: int
) -> None:
    page = await open_page("/", locale="en-US", script=AHEAD % hours)
    for _ in range(2):
        await page.goto(f"/#token={open_page.expired()}")
        await expect(page.get_by_text("Your sign-in has ended").first).to_be_visible()
        await expect(page.get_by_label("Sign-in token")).to_be_visible()
        await page.goto("about:blank")
        await page.goto("/")
        assert await page.evaluate("localStorage.getItem('laundry.token')") is None
