import asyncio

import pytest

from .browsers import expect
from .conftest import OpenPage
from .fake_operations import FakeOperations
from .fake_services import FakeServices

QUEUES = "/operator?view=queues"
# Says which answers there were, after whoever asked for one has done with it.
SAYS_WHAT_CAME = """
for (const name of ["json", "text"]) {
  const read = Response.prototype[name];
  Response.prototype[name] = async function () {
    const body = await read.call(this);
    setTimeout(() => document.documentElement.classList.add(`came-${this.url.split("/").at(-1)}`));
    return body;
  };
}
"""
TWICE = "(form) => { form.requestSubmit(); form.requestSubmit(); }"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_operator_previews_and_then_sends_one_letter_back(
    open_page: OpenPage, services: FakeServices
) -> None:
    operations = FakeOperations(services.app, letters=2)
    page = await open_page(QUEUES, role="operator", locale="en-US")
    await expect(page.get_by_text("Nobody consumes it")).to_be_visible()
    await page.get_by_text("Single letters (2)").click()
    await expect(page.get_by_text("redriven once").first).to_be_visible()
    await page.get_by_role("button", name="m1", exact=True).click()
    letter = page.locator(".dead-letter")
    await expect(letter.get_by_text("0123456789abcdef")).to_be_visible()
    await letter.get_by_role("button", name="Preview redrive").click()
    await expect(page.get_by_text("1 would go back to their queue")).to_be_visible()
    assert operations.asked == [("redrive", {"queue": "task.read", "ids": ["f1"]})], "nothing but a dry run"
    await page.get_by_label("Why?").fill("database is back")
    await page.get_by_role("button", name="Redrive now").click()
    await expect(page.get_by_text("Done: 1 of 1").first).to_be_visible()
    await expect(page.locator(".dead-audit").get_by_text("database is back")).to_be_visible()
    action, body = operations.asked[1]
    assert (action, body["plan"], body["dry_run"], body["why"]) == (
        "redrive",
        "p1",
        False,
        "database is back",
    )


async def test_a_discard_shows_what_is_lost_and_can_be_left(
    open_page: OpenPage, services: FakeServices
) -> None:
    operations = FakeOperations(services.app, letters=2)
    page = await open_page(QUEUES, role="operator")
    await page.get_by_role("button", name="버리기 미리 보기").click()
    would = page.get_by_role("heading", name="task.read · RuntimeError: 2건이 영구히 사라집니다")
    await expect(would).to_be_visible()
    await page.get_by_role("button", name="영구히 버리기").click()
    await expect(page.locator("#dead-why")).to_be_focused()
    await page.get_by_role("button", name="돌아가기").click()
    await expect(page.locator("#dead-why")).to_have_count(0)
    assert [body.get("dry_run", True) for _, body in operations.asked] == [True], "no reason, no act"


async def test_the_buttons_of_a_group_mean_that_group_alone(
    open_page: OpenPage, services: FakeServices
) -> None:
    operations = FakeOperations(services.app, letters=2)
    page = await open_page(QUEUES, role="operator", locale="en-US")
    for reason, error_class, meant in (
        ("retries-exhausted", "RuntimeError", "RuntimeError"),
        ("unknown-task", "PermanentError", "unknown-task"),
        ("delivery_limit", None, "delivery_limit"),
    ):
        operations.why = {"reason": reason, "error_class": error_class}
        operations.asked.clear()
        await page.reload()
        await page.get_by_role("button", name="Preview discard").first.click()
        await expect(page.locator("#dead-why")).to_be_visible()
        assert operations.asked == [("discard", {"queue": "task.read", "reason": meant})]


async def test_no_dead_letters_and_no_broker_are_said(open_page: OpenPage, services: FakeServices) -> None:
    operations = FakeOperations(services.app, letters=0)
    page = await open_page(QUEUES, role="operator", locale="en-US")
    await expect(page.get_by_text("No dead letters.")).to_be_visible()
    operations.away = True
    await expect(page.locator(".trouble")).to_be_visible()
    operations.away = False
    await expect(page.locator(".trouble")).to_have_count(0)


async def test_a_preview_that_is_late_takes_no_form_from_under_the_operators_fingers(
    open_page: OpenPage, services: FakeServices
) -> None:
    operations = FakeOperations(services.app, letters=2)
    operations.hold["discard"] = asyncio.Event()
    page = await open_page(QUEUES, role="operator", locale="en-US", script=SAYS_WHAT_CAME)
    await page.get_by_role("button", name="Preview discard").click()
    await page.get_by_role("button", name="Preview redrive").click()
    would = page.get_by_role("heading", name="task.read · RuntimeError: 2 would go back to their queue")
    await expect(would).to_be_visible()
    why = page.get_by_label("Why?")
    await why.fill("database is back")
    operations.hold["discard"].set()
    await expect(page.locator("html.came-discard")).to_have_count(1)
    await expect(would).to_be_visible()
    await expect(why).to_have_value("database is back")
    await page.get_by_role("button", name="Redrive now").click()
    await expect(page.locator(".dead-audit").get_by_text("database is back")).to_be_visible()
    assert [action for action, _ in operations.asked] == ["discard", "redrive", "redrive"]


async def test_a_letter_that_is_late_does_not_take_the_place_of_the_next(
    open_page: OpenPage, services: FakeServices
) -> None:
    operations = FakeOperations(services.app, letters=3)
    operations.hold = {"f0": asyncio.Event(), "f1": asyncio.Event()}
    operations.gone = {"f1"}
    page = await open_page(QUEUES, role="operator", locale="en-US", script=SAYS_WHAT_CAME)
    await page.get_by_text("Single letters (3)").click()
    for letter in ("m0", "m1", "m2"):
        await page.get_by_role("button", name=letter, exact=True).click()
    shown = page.locator(".dead-letter")
    await expect(shown.get_by_role("heading", name="m2")).to_be_visible()
    for fingerprint in operations.hold:
        operations.hold[fingerprint].set()
        await expect(page.locator(f"html.came-{fingerprint}")).to_have_count(1)
        await expect(shown.get_by_role("heading", name="m2")).to_be_visible()
    await expect(shown.get_by_role("alert")).to_have_count(0)


async def test_a_form_sent_twice_acts_once(open_page: OpenPage, services: FakeServices) -> None:
    operations = FakeOperations(services.app, letters=2)
    page = await open_page(QUEUES, role="operator", locale="en-US")
    await page.get_by_role("button", name="Preview redrive").click()
    await page.get_by_label("Why?").fill("database is back")
    await page.locator(".dead-act form").evaluate(TWICE)
    await expect(page.locator(".dead-audit").get_by_text("database is back")).to_be_visible()
    await expect(page.locator(".dead-act")).to_contain_text("Done: 1 of 1")
    assert [body.get("dry_run", True) for _, body in operations.asked] == [True, False]
