from pathlib import Path

import pytest
from playwright.async_api import expect

from laundry_testing.messaging import eventually

from .conftest import OpenPage
from .fake_services import FakeServices

AUDIT = Path(__file__).with_name("audit.js")

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_operator_sees_models_and_follows_a_run(open_page: OpenPage, services: FakeServices) -> None:
    page = await open_page("/", role="operator", locale="en-US")
    champion = page.get_by_role("region", name="The model that reads")
    await expect(champion.get_by_text("m-1")).to_be_visible()
    await expect(champion.locator("tbody td")).to_have_count(100)
    await expect(page.locator('[data-version="m-2"]').get_by_text("pants loses 9 of its 20")).to_be_visible()
    known = page.locator("dl.figures").get_by_text("Branches it knows")
    await expect(page.locator('[data-version="m-2"]').locator(known)).to_be_visible()
    await expect(champion.locator(known)).to_have_count(0)
    await expect(page.get_by_text("winter coats are missing")).to_be_visible()
    await expect(page.locator(".labellers").get_by_text("careless")).to_be_visible()
    well, stuck = (
        page.locator('.replicas [data-in-step="true"]'),
        page.locator('.replicas [data-in-step="false"]'),
    )
    await expect(well.get_by_text("m-2 reads alongside: agrees on 37 of 40 photos")).to_be_visible()
    await expect(stuck.get_by_text("not the champion")).to_be_visible()
    await expect(stuck.get_by_text("the sha256 is another")).to_be_visible()
    await eventually(lambda: len(services.listeners["runs"]) == 1, what="a page that listens")
    await page.get_by_role("button", name="Learn from corrections").click()
    await expect(page.locator(".run progress")).to_have_attribute("value", "0.4")
    assert services.models.asked == [("run", {"kind": "refit"})]
    (run_id,) = services.models.runs
    decision = {"promoted": True, "reasons": ["frozen holdout: 451 right"]}
    services.tell("runs", services.models.run("succeeded", run_id, decision=decision))
    await expect(page.get_by_text("The new model took over.")).to_be_visible()
    await expect(page.locator(".run progress")).to_have_count(0)
    await page.get_by_text("Why", exact=True).click()
    await expect(page.get_by_text("frozen holdout: 451 right")).to_be_visible()


async def test_a_worse_model_is_promoted_only_with_a_reason(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", role="operator")
    await page.get_by_role("button", name="m-2 올리기").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="올리기").click()
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("textbox").fill("겨울 외투가 판정 사진에 없습니다")
    await dialog.get_by_role("button", name="올리기").click()
    await expect(dialog).to_have_count(0)
    await eventually(lambda: services.models.asked, what="the promotion")
    assert services.models.asked == [("m-2", {"override_reason": "겨울 외투가 판정 사진에 없습니다"})]
    await page.get_by_role("button", name="되돌리기").click()
    await dialog.get_by_role("button", name="돌아가기").click()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="되돌리기").click()
    await dialog.get_by_role("button", name="되돌리기").click()
    await eventually(lambda: services.models.asked[1:], what="the rollback")
    assert services.models.asked[1:] == [("rollback", {})]


@pytest.mark.parametrize(("dark", "desktop"), [(False, False), (True, True)])
async def test_the_models_page_can_be_used_by_everybody(
    open_page: OpenPage, services: FakeServices, dark: bool, desktop: bool
) -> None:
    services.models.run("running")
    services.models.run("failed", error="Too few examples: 3 to learn from")
    page = await open_page("/", role="operator", dark=dark, desktop=desktop)
    await expect(page.locator(".model").first).to_be_visible()
    found = await page.evaluate(AUDIT.read_text())
    assert found == {"small": [], "nameless": [], "pale": [], "cut": [], "sideways": 0}
