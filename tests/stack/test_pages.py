"""The pages in a real browser, in front of the real services."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Expect, Page

from laundry.demo.browser import chromium, deliver, notifications, subscribe_locally
from laundry.demo.client import Person
from laundry.demo.photos import sample_photos
from laundry.demo.story import Story
from laundry.paths import StackPaths
from laundry.stack.environment import FIRST_OPERATOR, public_url
from laundry.stack.secrets import first_operator_password
from laundry_testing.messaging import eventually
from tests.stack.conftest import installed_chromium

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.browser, pytest.mark.timeout(420)]

# Reading and messaging share two cores with the rest of the stack.
PATIENCE_MS = 60_000
expect = Expect()
expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium(installed_chromium()) as running:
        yield running


async def new_page(browser: Browser, headers: dict[str, str] | None = None) -> Page:
    context = await browser.new_context(
        viewport={"width": 390, "height": 844}, locale="en-US", extra_http_headers=headers
    )
    context.set_default_timeout(PATIENCE_MS)
    return await context.new_page()


async def open_page(browser: Browser, stack: dict[str, Any], who: Person) -> Page:
    """Open the page of somebody whose token a program adds to every request."""
    page = await new_page(browser, who.headers)
    await page.goto(stack["web_url"])
    return page


async def test_photo_reading_confirmation_and_fault_on_the_pages(
    stack: dict[str, Any], story: Story, browser: Browser, tmp_path: Path
) -> None:
    [(name, body)] = sample_photos(1, seed=hash(story.mark))
    photo = tmp_path / Path(name).name
    photo.write_bytes(body)
    owner = await open_page(browser, stack, story.owner)
    await expect(owner.get_by_text("All confirmed")).to_be_visible()

    helper = await open_page(browser, stack, story.helper)
    await helper.get_by_label("Take a photo").set_input_files(photo)
    load = helper.locator(".load[data-id]")
    await expect(load).to_have_attribute("data-status", "read")
    await expect(load.get_by_role("img")).to_be_visible()

    # The owner's page has been open all along and shows it without a reload.
    card = owner.locator(".confirm-card")
    await expect(card.get_by_role("img")).to_be_visible()
    await card.get_by_role("button", name="Yes, ").click()
    await expect(owner.get_by_text("All confirmed")).to_be_visible()
    await expect(load).to_have_attribute("data-status", "confirmed")
    task_id = await load.get_attribute("data-id")
    task = await story.services.json("GET", "helper", f"/tasks/{task_id}", who=story.owner)
    best = task["reading"]["labels"][0]["label"]
    assert task["confirmation"]["labels"] == [{"label": best, "count": 1}]
    assert task["confirmation"]["corrected"] is False
    assert task["photo"]["bytes"] == len(body)

    await story.register_phones()
    await story.break_a_washer()
    # The story's owner takes care of it at once, so that nothing is left to announce.
    await expect(owner.locator(".equipment")).to_contain_text("Fault")
    await expect(owner.locator(".alerts [data-faults]").first).to_contain_text("E21")
    await expect(owner.locator(".banner")).to_have_count(0)
    for page in (helper, owner):
        await page.context.close()


async def test_a_person_signs_in_at_the_identity_service_and_out_again(
    stack: dict[str, Any], stack_folder: Path, browser: Browser
) -> None:
    password = first_operator_password(StackPaths(stack_folder))
    assert password
    page = await new_page(browser)
    await page.goto(f"{stack['web_url']}/operator?view=queues")
    await page.locator(".sign-in").get_by_role("link", name="Sign in").click()
    await page.locator("input[name=login]").fill(FIRST_OPERATOR)
    await page.locator("input[name=password]").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator(".operator")).to_be_visible()
    assert page.url == f"{public_url(stack['web_url'])}/operator?view=queues"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.locator(".sign-in")).to_be_visible()
    # Signed out there, too: it asks again.
    await page.locator(".sign-in").get_by_role("link", name="Sign in").click()
    await expect(page.locator("input[name=password]")).to_be_visible()
    await page.context.close()


async def test_a_fault_rings_the_owners_closed_page(
    stack: dict[str, Any], story: Story, browser: Browser
) -> None:
    owner = await open_page(browser, stack, story.owner)
    subscribed = await subscribe_locally(owner.context, stack["fcm_url"])
    await owner.reload()
    await owner.get_by_role("button", name="Notify me of failures").click()
    await expect(owner.locator(".reach").get_by_text("also with the page closed")).to_be_visible(
        timeout=PATIENCE_MS
    )
    # No page of ours stays open; this one is only where the driver looks from.
    elsewhere = await owner.context.new_page()
    await elsewhere.goto(f"{stack['web_url']}/livez")
    await owner.close()

    await story.register_phones()
    await story.break_a_washer()
    [endpoint] = subscribed
    pushed = await eventually(partial(story.services.pushes, endpoint), what="the push to the closed page")
    message = pushed[0]["message"]
    assert "E21" in message["title"]
    assert pushed[0]["headers"]["urgency"] == "high"

    # The update of an alert has the tag of the alert, and takes its place.
    await deliver(elsewhere, stack["web_url"], message, message)

    async def shown() -> bool:
        return [each["title"] for each in await notifications(elsewhere)] == [message["title"]]

    await eventually(shown, what="one notification of both pushes")
    await elsewhere.context.close()
