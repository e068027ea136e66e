"""``make pages``: draws the identity service's own pages beside the others, and checks them alike."""

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, Page, expect

from laundry_testing.messaging import eventually

from .conftest import PASSWORD, World

# Fixtures among them.
from .test_invitation_in_browser import chromium, phone, port, shortcomings, world  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

FOLDER = Path(__file__).parents[3] / "build" / "pages"
WIDTHS = {390: 844, 1280: 800}


async def steps(page: Page, world: World, mails: Path, email: str) -> AsyncIterator[str]:  # noqa: F811
    """Go from page to page; the name of each."""
    issuer = world.settings.issuer
    first, second = [await world.invite(world.operator, "helper", "b1") for _ in range(2)]
    await page.goto(first["link"])
    yield "invitation"
    assert (await world.accept(first, email)).status_code == 302
    await page.reload()
    yield "invitation-used"
    await page.goto(f"{issuer}/accounts/login/?next=/accounts/logout/")
    yield "sign-in"
    await page.locator("input[name=login]").fill(email)
    await page.locator("input[name=password]").fill("not the password")
    await page.locator(".sign-in button[type=submit]").click()
    await expect(page.locator("[role=alert], .field-error").first).to_be_visible()
    yield "sign-in-wrong"
    await page.goto(f"{issuer}/accounts/password/reset/")
    yield "reset"
    await page.locator("input[name=email]").fill(email)
    await page.locator("button[type=submit]").last.click()
    await expect(page.locator("input[name=email]")).to_have_count(0)
    yield "reset-sent"

    def mailed() -> str | None:
        texts = [file.read_text() for file in mails.glob("*")]
        found = [
            re.search(rf"{issuer}/accounts/password/reset/key/\S+", text) for text in texts if email in text
        ]
        return next((each[0] for each in found if each), None)

    link = await eventually(mailed, what="the mail")
    await page.goto(link)
    yield "reset-key"
    for field in ("password1", "password2"):
        await page.locator(f"input[name={field}]").fill(PASSWORD)
    await page.locator("main button[type=submit]").click()
    await expect(page.locator("input[name=password1]")).to_have_count(0)
    yield "reset-done"
    await page.goto(link)
    yield "reset-over"
    await page.goto(f"{issuer}/accounts/login/?next=/accounts/logout/")
    await page.locator("input[name=login]").fill(email)
    await page.locator("input[name=password]").fill(PASSWORD)
    await page.locator(".sign-in button[type=submit]").click()
    await expect(page.locator("input[name=password]")).to_have_count(0)
    yield "sign-out"
    await page.goto(second["link"])
    yield "invitation-signed-in"
    await page.goto(f"{issuer}/nothing/here")
    yield "missing"


@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
async def test_draw(world: World, chromium: Browser, mail_folder: Path, locale: str) -> None:  # noqa: F811
    FOLDER.mkdir(parents=True, exist_ok=True)
    page, _ = await phone(chromium, locale)
    faults = []
    async for name in steps(page, world, mail_folder, f"park-{locale[:2]}@example.com"):
        for width, height in WIDTHS.items():
            await page.set_viewport_size({"width": width, "height": height})
            for theme in ("light", "dark"):
                await page.emulate_media(color_scheme=theme)
                # Colours fade into each other.
                await page.evaluate(
                    "Promise.allSettled(document.getAnimations().map((each) => each.finished))"
                )
                shot = await page.screenshot(full_page=True)
                with Image.open(io.BytesIO(shot)) as image:
                    image.save(
                        FOLDER / f"identity-{name}-{width}-{locale[:2]}-{theme}.webp", quality=82, method=3
                    )
        faults += [(name, fault) for fault in await shortcomings(page)]
    await page.context.close()
    assert faults == []
