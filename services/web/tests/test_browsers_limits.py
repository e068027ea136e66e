"""Whatever a browser holds back, refuses or never answers: the page opens, and a photo is sent."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Page

from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import HURRY, expect
from .conftest import OpenPage
from .fake_pictures import picture
from .fake_services import FakeServices

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
REMOVES_FOR_EVER = """
  IDBObjectStore.prototype.delete = function () {
    const again = () => (this.count().onsuccess = again);
    return again();
  };
"""
# The page goes away while it looks for the photos that wait.
LEAVES = """
  if (sessionStorage.getItem("leave") === "at once")
    // Its own comes when it has loaded, which may be after it has left.
    window.addEventListener("pageshow", (event) => event.isTrusted && event.stopImmediatePropagation(), true);
  const { getAll } = IDBIndex.prototype;
  IDBIndex.prototype.getAll = function () {
    const asking = getAll.apply(this, arguments);
    const leave = sessionStorage.getItem("leave");
    if (leave) {
      sessionStorage.removeItem("leave");
      this.objectStore.transaction.addEventListener("abort", () => {
        document.documentElement.dataset.read = "aborted";
      });
      window.dispatchEvent(new Event("pagehide"));
      // A page that is frozen hears of it only when it is shown again.
      if (leave === "frozen") window.dispatchEvent(new Event("pageshow"));
    }
    return asking;
  };
"""
ASKS = f"if (window.StorageManager) StorageManager.prototype.persist = {NEVER};"
LIMITS = {
    "asks the person whether to persist": ASKS,
    "database never opens": f"{HURRY} IDBFactory.prototype.open = () => ({{}});",
    "database is blocked": BLOCKED % "indexedDB",
    "takes no blobs": BLOB_PUT_FAILS,
    "never ends a removal": REMOVES_FOR_EVER,
    "has no room": PUT_FAILS % "QuotaExceededError",
    "takes nothing": PUT_FAILS % "UnknownError",
    "grants no lock": f"{HURRY} LockManager.prototype.request = {NEVER};",
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
    if limit != "grants no lock":  # without which no tab knows whether it is the one to listen
        [task_id] = services.tasks
        services.read(task_id, [("hat", 0.9)])
        await expect(page.locator(".garments")).to_contain_text("hat")


@pytest.mark.parametrize("limit", ["takes no blobs", None])
async def test_photos_outlive_a_reload_where_anything_can_be_written(
    open_page: OpenPage, services: FakeServices, photo_file: Path, limit: str | None
) -> None:
    services.refuse["upload"] = Problem(503, "service-away", "Away.")
    page = await open_page("/", role="helper", locale="en-US", script=LIMITS[limit] if limit else None)
    await page.get_by_label("Album").set_input_files([photo_file] * 3)
    await expect(page.get_by_text("The photo is safe on this phone")).to_have_count(3)
    await page.reload()
    await expect(page.get_by_text("The photo is safe on this phone")).to_have_count(3)
    services.refuse.clear()
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("Registered · being read")).to_have_count(3)
    assert services.uploads[-1]["bytes"] == photo_file.stat().st_size
    assert len(services.tasks) == 3


@pytest.mark.parametrize("how", ["at once", "frozen"])
async def test_a_page_that_goes_away_leaves_no_read_open_and_comes_back_with_its_photos(
    open_page: OpenPage, services: FakeServices, photo_file: Path, how: str
) -> None:
    services.refuse["upload"] = Problem(503, "service-away", "Away.")
    page = await open_page("/", role="helper", locale="en-US", script=LEAVES)
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    await page.evaluate(f"sessionStorage.setItem('leave', '{how}')")
    await page.reload()
    # In WebKit a read that a page leaves open holds up every later write.
    await expect(page.locator("html[data-read=aborted]")).to_have_count(1)
    if how == "at once":
        await expect(page.locator(".load")).to_have_count(0)
    services.refuse.clear()
    if how == "at once":
        await page.evaluate("window.dispatchEvent(new Event('pageshow'))")
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    assert len(services.tasks) == 1


@pytest.mark.parametrize("engine", ["firefox"], indirect=True)
async def test_the_question_that_firefox_asks_is_awaited_by_nothing(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("Registered · being read")).to_be_visible()
    # It stands open: whether photos may stay on this computer.
    asked = """async () => {
      const waiting = new Promise((resolve) => setTimeout(resolve, 1000, "asked"));
      const { state } = await navigator.permissions.query({ name: "persistent-storage" });
      return [state, await Promise.race([navigator.storage.persist(), waiting])];
    }"""
    assert await page.evaluate(asked) == ["prompt", "asked"]
    await page.reload()
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.locator("[data-status=submitted]")).to_have_count(2)


@pytest.mark.parametrize("engine", ["webkit"], indirect=True)
async def test_a_private_session_of_webkit_keeps_photos_while_it_lasts(
    open_page: OpenPage, services: FakeServices, photo_file: Path
) -> None:
    services.refuse["upload"] = Problem(503, "service-away", "Away.")
    page = await open_page("/", role="helper", locale="en-US")
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.get_by_text("The photo is safe on this phone")).to_be_visible()
    # A private session takes no Blob, so it has to be bytes.
    kept = """async () => {
      const opening = indexedDB.open("laundry");
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const asking = opening.result.transaction("photos").objectStore("photos").getAll();
      await new Promise((resolve) => (asking.onsuccess = resolve));
      return asking.result.map((photo) => [photo.bytes?.byteLength ?? null, photo.blob?.size ?? null]);
    }"""
    assert await page.evaluate(kept) == [[photo_file.stat().st_size, None]]


@pytest.mark.parametrize(
    ("limit", "reason", "in_korean"),
    [
        ("has no room", "This phone has no room", "저장할 공간이 없습니다"),
        (
            "takes nothing",
            "This browser does not let the page keep photos",
            "이 브라우저에서는 사진을 저장해 둘 수 없습니다",
        ),
    ],
)
async def test_photo_that_cannot_be_kept_is_said_to_be_so_and_waits_in_memory(
    open_page: OpenPage, services: FakeServices, photo_file: Path, limit: str, reason: str, in_korean: str
) -> None:
    services.hold_uploads = asyncio.Event()
    page = await open_page("/", role="helper", locale="en-US", script=LIMITS[limit])
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.locator(".notice")).to_contain_text(reason)
    await page.get_by_label("Album").set_input_files(photo_file)
    await expect(page.locator(".load")).to_have_count(2)
    await expect(page.locator("[data-status=waiting]")).not_to_contain_text("safe")
    await page.get_by_role("button", name="한국어").click()
    await expect(page.locator(".notice")).to_contain_text(in_korean)
    await expect(page.locator("[data-status=waiting]")).not_to_contain_text("안전")
    services.hold_uploads.set()
    await expect(page.locator("[data-status=submitted]")).to_have_count(2)
    # Nothing is at risk any more.
    await expect(page.locator(".notice")).to_have_count(0)


def has_tasks(services: FakeServices, count: int) -> bool:
    return len(services.tasks) == count


def has_asked(services: FakeServices, before: int) -> bool:
    return services.requests.count(("GET", "/tasks")) > before


async def choose(page: Page, files: list[Path], *, unreadable: dict[int, str]) -> None:
    """Choose files of which some cannot be read: gone, or never handed over by the phone."""
    await page.evaluate(
        """(unreadable) => {
          File.prototype.read ??= File.prototype.arrayBuffer;
          File.prototype.arrayBuffer = function () {
            const how = unreadable[this.name];
            if (how === undefined) return this.read();
            return Promise.reject(new DOMException("gone", how));
          };
        }""",
        {files[index].name: how for index, how in unreadable.items()},
    )
    await page.locator("input[multiple]:not([data-for])").set_input_files(files)


@pytest.fixture
def photo_files(tmp_path: Path) -> list[Path]:
    """Eight photos as they lie in an album."""
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(1, 9)]
    for file in files:
        file.write_bytes(picture())
    return files


async def test_a_file_that_cannot_be_read_is_named_and_stops_no_other(
    open_page: OpenPage, services: FakeServices, photo_files: list[Path]
) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    alert = page.locator(".trouble")
    for words, others, sent in (
        ("Could not be read", "7 other photos", 7),
        ("읽지 못한 사진", "나머지 7장", 15),
    ):
        await choose(page, photo_files, unreadable={4: "NotFoundError"})
        await expect(alert).to_contain_text(words)
        await expect(alert).to_contain_text("IMG_5.jpg (5/8)")
        await expect(alert).to_contain_text(others)
        await eventually(partial(has_tasks, services, sent), what="the others are sent")
        # It is still said when the list has been fetched again.
        services.reset("tasks")
        await expect(page.locator(".load")).to_have_count(sent)
        await expect(alert).to_contain_text("IMG_5.jpg")
        # Chosen again, it goes, and the words with it.
        await choose(page, [photo_files[4]], unreadable={})
        await expect(alert).to_have_count(0)
        await expect(page.locator("[data-status=submitted]")).to_have_count(sent + 1)
        if words.isascii():
            await page.get_by_role("button", name="한국어").click()


async def test_whichever_files_cannot_be_read(
    open_page: OpenPage, services: FakeServices, photo_files: list[Path]
) -> None:
    page = await open_page("/", role="helper", locale="en-US")
    sent = 0
    for which in ([0], [7], [0, 3, 7], list(range(8))):
        await page.get_by_label("Note (optional)").fill(f"{len(which)} are gone")
        await choose(page, photo_files, unreadable=dict.fromkeys(which, "NotReadableError"))
        for index in which:
            await expect(page.locator(".trouble")).to_contain_text(f"IMG_{index + 1}.jpg")
        sent += len(photo_files) - len(which)
        await eventually(partial(has_tasks, services, sent), what="the others are sent")
        # The note is still there for when they are chosen again.
        await expect(page.get_by_label("Note (optional)")).to_have_value(f"{len(which)} are gone")


CLOCK = """
  const now = Date.now;
  Date.now = () => now() + Number(localStorage.getItem("hours ahead")) * 3600000;
"""


async def set_clock(page: Page, hours: int) -> None:
    """Let the clock of the phone be ahead in every page from the next on."""
    await page.evaluate(f"localStorage.setItem('hours ahead', '{hours}')")


@pytest.mark.parametrize("role", ["helper", "owner"])
async def test_the_clock_of_a_phone_decides_about_nothing(
    open_page: OpenPage, services: FakeServices, role: str
) -> None:
    task = services.add_task("read", labels=[("hat", 0.4)], needs_review=True)
    page = await open_page("/", role=role, locale="en-US", script=CLOCK)
    for hours in (13, -13, 24 * 400):
        await set_clock(page, hours)
        asked = services.requests.count(("GET", "/tasks"))
        task["submitted_at"] = services.at(5.1)
        await page.reload()
        await expect(page.locator(f".{role}")).to_be_visible()
        await eventually(partial(has_asked, services, asked), what="the list is fetched")
        await expect(page.locator(f".{role}")).to_be_visible()
        # Nor does it about how long ago something was.
        await expect(page.locator("time").first).to_have_text("5 min. ago")
