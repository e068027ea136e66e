import asyncio

import pytest
from playwright.async_api import Page

from laundry_testing.messaging import eventually

from .browsers import expect
from .conftest import OpenPage
from .fake_models import LACKING
from .fake_services import FakeServices

# What a page of models shows came, both times that it asks as it opens.
SHOWN = """performance.getEntriesByType("resource").filter(
  ({ name }) => /\\/mlops\\/(models|models\\/promotions|examples\\/owners)(\\?|$)/.test(name)).length === 6"""
TAPPED_TWICE = "(button) => { button.focus(); button.click(); button.click(); }"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def opened(open_page: OpenPage, locale: str = "en-US") -> Page:
    """Open the models and wait until they are drawn for the last time: a tap before that may be lost."""
    page = await open_page("/", role="operator", locale=locale)
    await eventually(lambda: page.evaluate(SHOWN), what="the models, twice")
    return page


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
    page = await opened(open_page, "ko-KR")
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


async def test_a_run_is_cancelled(open_page: OpenPage, services: FakeServices) -> None:
    page = await opened(open_page)
    run = services.models.run("running")
    ended = services.models.run("running")
    await eventually(lambda: len(services.listeners["runs"]) == 1, what="a page that listens")
    services.tell("runs", run)
    services.tell("runs", ended)
    card = page.locator(f'[data-run="{run["id"]}"]')
    await card.get_by_role("button", name="Cancel the run").click()
    await expect(card.get_by_text("Cancelled", exact=True)).to_be_visible()
    await expect(card.get_by_role("button")).to_have_count(0)
    assert services.models.asked == [("cancellation", {"id": run["id"]})]
    services.models.run("succeeded", ended["id"])
    await page.get_by_role("button", name="Cancel the run").click()
    await expect(page.get_by_text("nothing to cancel")).to_be_visible()


async def test_a_log_is_read_as_it_grows(open_page: OpenPage, services: FakeServices) -> None:
    models = services.models
    run_id = models.run("running")["id"]
    page = await opened(open_page)
    await eventually(lambda: len(services.listeners["runs"]) == 1, what="a page that listens")
    card = page.locator(f'[data-run="{run_id}"]')
    await card.get_by_text("Log", exact=True).click()
    await expect(card.get_by_text("Nothing logged")).to_be_visible()
    models.note(run_id, "looks at 90 examples")
    services.tell("runs", models.run("running", run_id, progress=0.5))
    first = card.get_by_text("looks at 90 examples")
    await expect(first).to_be_visible()
    models.logs_work = False
    services.tell("runs", models.run("running", run_id, progress=0.6))
    await expect(card.get_by_role("alert")).to_contain_text("Try again soon")
    await expect(first).to_be_visible()
    models.logs_work = True
    models.note(run_id, "fits the last layer")
    await card.get_by_role("button", name="Try again").click()
    await expect(card.locator(".log li")).to_have_count(2)
    await expect(card.get_by_role("alert")).to_have_count(0)
    # Who listens to another run loses neither the place nor what is open.
    await card.get_by_role("log").focus()
    services.tell("runs", models.run("queued"))
    await expect(page.locator(".run")).to_have_count(2)
    await expect(card.get_by_role("log")).to_be_focused()
    models.note(run_id, "promoted")
    services.tell("runs", models.run("succeeded", run_id))
    await expect(card.locator(".log li").last).to_contain_text("promoted")


async def test_a_model_tells_where_it_comes_from(open_page: OpenPage, services: FakeServices) -> None:
    page = await opened(open_page)
    model = page.locator('[data-version="m-2"]')
    await model.get_by_text("Where it comes from").click()
    told = model.locator("dl.lineage > div")
    names = await told.locator("dt").all_inner_texts()
    assert names[:4] == ["How it was made", "Training run", "Made from", "Made from, file (SHA-256)"]
    assert names[-1] == "a_key_of_a_newer_service"
    for name, value in (
        ("How it was made", "refit"),
        ("Examples it learnt from", "1,490"),
        ("Examples left out", "photo missing: 3"),
        ("Pull towards the first model", "0.3"),
    ):
        await expect(told.filter(has_text=name).locator("dd").first).to_contain_text(value)
    sha256 = model.get_by_title("f5b9e609" * 8)
    await expect(sha256).to_have_text("f5b9e609f5b9…")
    await page.get_by_role("button", name="Learn from corrections").click()
    await expect(page.locator(".run")).to_have_count(1)
    await expect(sha256).to_be_visible()


async def test_a_full_run_starts_or_says_what_is_missing(open_page: OpenPage, services: FakeServices) -> None:
    services.models.lacking = LACKING
    page = await open_page("/", role="operator", locale="en-US")
    start = page.get_by_role("button", name="Train the whole network")
    dialog = page.get_by_role("dialog")
    await start.click()
    await dialog.get_by_role("button", name="Back").click()
    await expect(dialog).to_have_count(0)
    assert services.models.asked == []
    await start.click()
    await dialog.get_by_role("button", name="Start the training").click()
    refusal = page.locator(".trouble")
    await expect(refusal).to_contain_text("Get it, then try again")
    await expect(refusal).to_contain_text("laundry up --training-data FOLDER")
    services.models.lacking = None
    await refusal.get_by_role("button", name="Try again").click()
    await dialog.get_by_role("button", name="Start the training").click()
    await expect(page.locator(".run").get_by_text("full")).to_be_visible()
    await expect(refusal).to_have_count(0)
    assert services.models.asked == [("run", {"kind": "full"})] * 2


async def test_a_run_asked_for_twice_starts_once(open_page: OpenPage, services: FakeServices) -> None:
    models = services.models
    models.hold_runs = held = asyncio.Event()
    page = await open_page("/", role="operator", locale="en-US")
    start = page.get_by_role("button", name="Learn from corrections")
    await start.evaluate(TAPPED_TWICE)
    await expect(start).to_be_disabled()
    held.set()
    await expect(page.locator(".run")).to_have_count(1)
    await expect(start).to_be_focused()
    assert models.asked == [("run", {"kind": "refit"})]
    full = page.get_by_role("button", name="Train the whole network")
    dialog = page.get_by_role("dialog")
    await full.evaluate(TAPPED_TWICE)
    await expect(dialog).to_have_count(1)
    await dialog.get_by_role("button", name="Back").click()
    await expect(full).to_be_focused()
    cancel = page.get_by_role("button", name="Cancel the run")
    await cancel.evaluate(TAPPED_TWICE)
    await expect(cancel).to_have_count(0)
    await expect(page.locator(".trouble")).to_have_count(0)
    assert [what for what, _ in models.asked] == ["run", "cancellation"]
    for name in ("Promote m-0", "Roll back"):
        await page.get_by_role("button", name=name).evaluate(TAPPED_TWICE)
        await expect(dialog).to_have_count(1)
        await dialog.get_by_role("button", name="Back", exact=True).click()
        await expect(dialog).to_have_count(0)
