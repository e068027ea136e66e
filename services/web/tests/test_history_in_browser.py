"""The owner looks for past laundry, sees what was washed, and takes it along as a file."""

import csv
import io
from pathlib import Path

import pytest

from laundry_service.http.problems import Problem

from .browsers import expect
from .conftest import OpenPage
from .fake_pictures import picture
from .fake_services import FakeServices

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_the_past_is_searched_page_by_page_and_a_search_can_be_kept(
    open_page: OpenPage, services: FakeServices
) -> None:
    small = picture(size=(60, 80))
    for number in range(61):
        label = "hat" if number % 20 == 0 else "shirt"
        task = services.add_task("read", labels=[("shirt", 0.9)], photo=small, note=f"3층 {number}")
        services.confirmed(task["id"], [(label, 1)])
    page = await open_page("/owner?view=history", role="owner", locale="en-US")
    rows = page.locator(".past .load")
    await expect(rows).to_have_count(50)
    await expect(page).to_have_title("History · Smart Laundry")
    # Rows have their height when they are scrolled to, which moves the button between a tap's two halves.
    await page.get_by_role("button", name="Show more").evaluate("(button) => button.click()")
    await expect(rows).to_have_count(61)
    await expect(page.get_by_text("61 loads found.").first).to_be_visible()
    await page.reload()
    await expect(rows).to_have_count(50)
    await page.get_by_label("Class").select_option("hat")
    more = page.get_by_role("button", name="Show more")
    services.refuse["tasks"] = Problem(503, "service-away", "It is being restarted.")
    await more.evaluate("(button) => button.click()")
    await expect(page.locator(".more .trouble")).to_be_visible()
    services.refuse.clear()
    # Of the search that is shown, not of what was put into its fields since.
    await page.get_by_role("button", name="Try again").evaluate("(button) => button.click()")
    await expect(rows).to_have_count(61)
    await page.get_by_role("button", name="Search").click()
    await expect(rows).to_have_count(4)
    await expect(rows.first.get_by_text("was read as shirt")).to_be_visible()
    await page.get_by_label("In the note").fill("3층 40")
    await page.get_by_role("button", name="Search").click()
    await expect(rows).to_have_count(1)
    # The address says what is looked for.
    await page.reload()
    await expect(rows).to_have_count(1)
    await expect(page.get_by_label("In the note")).to_have_value("3층 40")
    await page.get_by_label("Helper").fill("nobody")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.get_by_role("button", name="Clear").click()
    await expect(rows).to_have_count(50)


async def test_what_was_washed_is_a_picture_a_table_and_a_file(
    open_page: OpenPage, services: FakeServices, tmp_path: Path
) -> None:
    services.history.wash(1, "shirt", pieces=12, loads=6, corrected=3)
    services.history.wash(2, "=SUM(A1)", pieces=5, loads=4)
    services.history.wash(40, "hat", pieces=99, loads=9)
    page = await open_page("/owner?view=washed", role="owner", locale="ko-KR", branches=("-b1", "b2"))
    await expect(page).to_have_title("세탁 현황 · 스마트 세탁")
    await expect(page.locator(".figures dd")).to_have_text(["10", "17", "30%"])
    assert "모두 10건" in (await page.locator("svg.columns").get_attribute("aria-label") or "")
    assert await page.locator("svg.columns g").count() == 28
    shirt = page.locator("table").first.get_by_role("row").filter(has_text="셔츠")
    await expect(shirt).to_contain_text("50%")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="CSV로 저장").click()
    file = tmp_path / "washed.csv"
    download = await coming.value
    assert download.suggested_filename.startswith("세탁현황-")
    await download.save_as(file)
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert rows[0] == ["날짜", "종류", "벌 수", "건수", "고침"]
    assert [row[1:] for row in rows[1:]] == [["셔츠", "12", "6", "3"], ["'=SUM(A1)", "5", "4", "0"]]

    await page.get_by_role("button", name="최근 90일").click()
    await expect(page.locator(".figures dd").first).to_have_text("19")
    await page.get_by_label("지점").select_option("b2")
    await expect(page.locator(".washed-stage:not([aria-busy])")).to_have_count(1)
    assert services.history.asked[-1]["branch_id"] == "b2"
    services.refuse["washed"] = Problem(422, "period-invalid", "In English.")
    await page.get_by_role("button", name="최근 7일").click()
    await expect(page.get_by_text("이 기간은 볼 수 없습니다.")).to_be_visible()
    services.refuse.clear()
    await page.get_by_role("button", name="다시 시도").click()
    await expect(page.locator(".figures dd").first).to_have_text("10")


async def test_a_fault_is_told_whatever_view_is_open(open_page: OpenPage, services: FakeServices) -> None:
    page = await open_page("/owner?view=washed", role="owner", locale="en-US")
    await expect(page.get_by_text("No laundry was confirmed on these days")).to_be_visible()
    services.fault("washer-3")
    await expect(page.locator(".banner")).to_contain_text("washer-3")
    await expect(page).to_have_title("(1) Equipment alerts · What was washed · Smart Laundry")
    await page.get_by_role("link", name="History").click()
    await expect(page.get_by_text("Nothing is confirmed yet")).to_be_visible()
    await expect(page).to_have_title("(1) Equipment alerts · History · Smart Laundry")
    await expect(page.locator(".banner")).to_have_count(1)
