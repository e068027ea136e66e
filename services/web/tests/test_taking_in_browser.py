"""Photos of one load, taken again, too large, of a kind that no browser shows; and what owners corrected."""

import io
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page

from laundry_reading.photo import MAX_BYTES
from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import CHROMIUM_ONLY, HURRY, expect
from .conftest import OpenPage
from .fake_pictures import picture
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OFFLINE = "Waiting to be sent"
REGISTERED = "Registered · being read"


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: OpenPage) -> Any:
    """The helper's page, with nothing registered yet."""
    opened = await open_page("/", role="helper", locale="en-US")
    await expect(opened.get_by_text("Nothing registered yet")).to_be_visible()
    return opened


async def pick(page: Page, *files: Path) -> None:
    await page.get_by_label("Album").set_input_files(list(files))


async def test_photos_are_of_the_branch_that_was_chosen_with_them(
    open_page: OpenPage, services: FakeServices, tmp_path: Path
) -> None:
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(3)]
    for file in files:
        file.write_bytes(picture())
    page = await open_page("/", role="helper", locale="en-US", branches=("b1", "b2"))
    await page.evaluate(
        """() => {
          const read = File.prototype.arrayBuffer;
          const handedOver = new Promise((resolve) => (window.handOver = resolve));
          File.prototype.arrayBuffer = async function () { await handedOver; return read.call(this); };
        }"""
    )
    await pick(page, *files)
    await page.get_by_label("Branch").select_option("b2")
    await page.evaluate("window.handOver()")
    await expect(page.locator("[data-status=submitted]")).to_have_count(3)
    assert {task["branch_id"] for task in services.tasks.values()} == {"b1"}


async def press(page: Page, name: str, *files: Path) -> None:
    """Press a button that asks for photos, and choose some."""
    async with page.expect_file_chooser() as asked:
        await page.get_by_role("button", name=name).first.click()
    await (await asked.value).set_files(list(files))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(picture(colour=f"#6d8f{number}3"[:7].ljust(7, "0")))
    return files


async def test_photos_chosen_together_are_one_load_and_more_can_be_added(
    page: Page, services: FakeServices, photos: list[Path]
) -> None:
    await page.get_by_label("Note (optional)").fill("third floor")
    await pick(page, *photos[:2])
    await expect(page.get_by_text("one of 2 photos of a load")).to_have_count(2)
    await press(page, "Add to this load", photos[2])
    await expect(page.get_by_text("one of 3 photos of a load")).to_have_count(3)
    assert len({upload["load"] for upload in services.uploads}) == 1
    assert {upload["note"] for upload in services.uploads} == {"third floor"}
    # Who photographs each for itself says so once.
    await page.get_by_label("Photos that I choose together").uncheck()
    await pick(page, *photos[:2])
    await expect(page.get_by_text(REGISTERED)).to_have_count(5)
    assert len({upload["load"] for upload in services.uploads}) == 3
    await page.reload()
    await expect(page.get_by_label("Photos that I choose together")).not_to_be_checked()


async def test_a_registered_photo_is_taken_again(
    page: Page, services: FakeServices, photos: list[Path]
) -> None:
    await pick(page, photos[0])
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    await press(page, "Retake", photos[1])
    await eventually(lambda: len(services.tasks) == 2, what="the second photo")
    await expect(page.locator(".load")).to_have_count(1)
    first, second = services.tasks.values()
    assert (first["status"], first["replaced_by"]) == ("withdrawn", second["id"])
    assert services.uploads[1]["replaces"] == [f"task:{first['id']}"]
    assert second["load_id"] == first["load_id"]
    # What another helper took is not for this one to change.
    services.add_task(helper_id="helper-2")
    await expect(page.locator(".load")).to_have_count(2)
    await expect(page.get_by_role("button", name="Retake")).to_have_count(1)
    services.confirmed(second["id"], [("hat", 1)])
    await expect(page.get_by_role("button", name="Retake")).to_have_count(0)


async def test_a_photo_that_waits_is_taken_again_and_only_the_last_is_sent(
    open_page: OpenPage, services: FakeServices, photos: list[Path]
) -> None:
    page = await open_page("/", role="helper", locale="en-US", kept=True)
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await open_page.cut_off(page)
    await pick(page, photos[0])
    await expect(page.get_by_text(OFFLINE)).to_be_visible()
    for photo in photos[1:]:
        await press(page, "Retake", photo)
        await expect(page.get_by_text(OFFLINE)).to_have_count(1)
    await page.reload()
    await expect(page.get_by_text(OFFLINE)).to_have_count(1)
    await open_page.connect(page)
    await expect(page.get_by_text(REGISTERED)).to_have_count(1)
    [upload] = services.uploads
    # It may have arrived all the same, so the service is told what it was sent under.
    assert [each[:4] for each in upload["replaces"]] == ["key:", "key:"]
    [task_id] = services.tasks
    assert services.photos[task_id] == photos[2].read_bytes()


async def test_a_photo_of_a_tab_that_was_closed_is_sent_by_one_that_was_open_before(
    page: Page, services: FakeServices, photos: list[Path]
) -> None:
    other = await page.context.new_page()
    await other.goto("/helper")
    await expect(other.get_by_text("Nothing registered yet")).to_be_visible()
    await page.context.set_offline(True)
    await pick(page, photos[0])
    await expect(page.get_by_text(OFFLINE)).to_be_visible()
    await page.close()
    await other.context.set_offline(False)
    await expect(other.get_by_text(REGISTERED)).to_be_visible()
    await expect(other.locator(".load")).to_have_count(1)
    assert len(services.uploads) == 1


@CHROMIUM_ONLY
async def test_a_photo_that_is_slow_to_leave_the_phone_is_sent_once(
    open_page: OpenPage, services: FakeServices, photos: list[Path]
) -> None:
    stays = "IDBObjectStore.prototype.delete = function (key) { return this.count(key); };"
    page = await open_page("/", role="helper", locale="en-US", script=stays)
    for number, photo in enumerate(photos, 1):
        await pick(page, photo)
        await expect(page.get_by_text(REGISTERED)).to_have_count(number)
        await page.evaluate("window.dispatchEvent(new Event('online'))")
    # Photos are sent in turn: what was sent twice would have been before this one.
    await pick(page, photos[0])
    await expect(page.get_by_text(REGISTERED)).to_have_count(len(photos) + 1)
    assert len(services.uploads) == len(photos) + 1


async def test_a_retake_that_comes_too_late_is_sent_beside_if_the_person_says_so(
    page: Page, services: FakeServices, photos: list[Path]
) -> None:
    await pick(page, photos[0])
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    services.refuse_replacing = True
    await press(page, "Retake", photos[1])
    await expect(
        page.locator(".load").get_by_text("already confirmed the photo that you retook")
    ).to_be_visible()
    await page.get_by_role("button", name="Send it as well").click()
    await expect(page.get_by_text(REGISTERED)).to_have_count(2)
    assert services.uploads[-1]["replaces"] == []


async def test_what_the_service_finds_too_large_is_made_smaller_and_stays_upright(
    page: Page, services: FakeServices, tmp_path: Path
) -> None:
    wide = Image.new("RGB", (4200, 100), "red")
    wide.paste("blue", (0, 0, 2100, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, as a phone held upright takes it
    exif[0x0110] = "the model of the phone"
    file = tmp_path / "wide.jpg"
    wide.save(file, exif=exif)
    services.most_pixels = 4200 * 100 - 1
    await pick(page, file)
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    [task_id] = services.tasks
    sent = Image.open(io.BytesIO(services.photos[task_id]))
    assert sent.size == (98, 4096)
    assert not sent.getexif()
    top, bottom = (sent.convert("RGB").getpixel((49, y)) for y in (10, 4086))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[2] > 200 > bottom[2]


async def test_a_file_over_the_limit_is_made_smaller_or_refused_before_it_is_sent(
    page: Page, services: FakeServices, tmp_path: Path
) -> None:
    # What follows a JPEG's end is nobody's.
    large, unshowable = tmp_path / "large.jpg", tmp_path / "large.heic"
    large.write_bytes(picture() + bytes(MAX_BYTES))
    unshowable.write_bytes(b"\0\0\0\x18ftypheic" + bytes(MAX_BYTES))
    await pick(page, large, unshowable)
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    await expect(page.get_by_role("alert").get_by_text("large.heic (2/2)")).to_be_visible()
    await expect(page.get_by_text("cannot make it smaller")).to_be_visible()
    await expect(page.locator(".load")).to_have_count(1)
    [upload] = services.uploads
    assert upload["bytes"] < 1_000_000


async def test_a_heic_goes_as_it_is_and_is_shown_once_the_service_has_made_a_picture(
    page: Page, services: FakeServices, tmp_path: Path
) -> None:
    file = tmp_path / "IMG_0001.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic" + bytes(1000))
    await page.context.set_offline(True)
    await pick(page, file)
    await expect(page.get_by_text("No preview here")).to_be_visible()
    await page.context.set_offline(False)
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    await expect(page.locator(".load img")).to_be_visible()
    [task_id] = services.tasks
    assert services.photos[task_id] == file.read_bytes()


async def test_a_photo_that_a_bad_line_breaks_off_goes_on_in_pieces(
    open_page: OpenPage, services: FakeServices, tmp_path: Path
) -> None:
    page = await open_page("/", role="helper", locale="en-US", script=HURRY)
    file = tmp_path / "IMG_0001.jpg"
    file.write_bytes(picture() + bytes(1_600_000))
    services.refuse["upload"] = Problem(408, "upload-too-slow", "In English.")
    services.break_after = 600_000
    await pick(page, file)
    await eventually(lambda: services.refuse.get("piece"), what="the line breaks again, after two pieces")
    [came] = services.pieces.values()
    services.refuse.clear()
    await expect(page.get_by_text(REGISTERED)).to_be_visible()
    [task_id] = services.tasks
    assert services.photos[task_id] == file.read_bytes()
    # What had come was not sent again: the service takes nothing but what follows.
    [whole] = services.pieces.values()
    assert whole.startswith(came)
    assert whole == file.read_bytes()


async def test_helpers_see_what_owners_corrected(page: Page, services: FakeServices) -> None:
    corrections = page.locator(".corrections")
    await corrections.locator("summary").click()
    await expect(corrections.get_by_text("Nothing of yours has been corrected")).to_be_visible()
    await corrections.locator("summary").click()
    read = services.add_task("read", labels=[("dress", 0.6)])
    services.confirmed(read["id"], [("skirt", 2)])
    unread = services.add_task("unreadable")
    services.confirmed(unread["id"], [("hat", 1)])
    await corrections.locator("summary").click()
    await expect(corrections.locator(".load")).to_have_count(2)
    await expect(corrections.get_by_text("Read as dress")).to_be_visible()
    await expect(corrections.get_by_text("It was 2 × skirt")).to_be_visible()
    await expect(corrections.get_by_text("Could not be read")).to_be_visible()
