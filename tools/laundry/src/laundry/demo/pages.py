"""The people's chapter, in a real Chromium: from an invitation to an alert with the page closed."""

import asyncio
import secrets
import time
from typing import Any

from playwright.async_api import Browser, BrowserContext, Error, FilePayload, Page

from laundry.demo.browser import chromium, chromium_path, deliver, notifications, subscribe_locally
from laundry.demo.client import People, Skipped, StoryFailed, until
from laundry.demo.photos import sample_photos
from laundry.demo.story import Line, Story, failing
from laundry.stack.environment import public_url

CHAPTER_S = 150
STEP_MS = 30_000
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


async def on_the_pages(story: Story, people: People) -> "Day":
    """Tell the chapter; returns who took part.

    Raises:
        Skipped: Chromium or the identity service is not there.
        StoryFailed: something did not happen in time.
    """
    if "identity_url" not in story.services.stack:
        raise Skipped("this stack has no identity service")
    path = chromium_path()
    if path is None:
        raise Skipped("Chromium is not installed (apt-get install chromium, or set LAUNDRY_CHROMIUM)")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CHAPTER_S), chromium(path) as browser:
            day = Day(story, people, browser)
            await day.tell()
    except TimeoutError as error:
        raise StoryFailed(f"the pages took longer than {CHAPTER_S} s") from error
    except Error as error:
        raise StoryFailed(" ".join(str(error).split())[:300]) from error
    story.say(f"all of it on the pages took {time.perf_counter() - began:.1f} s")
    return day


class Day:
    """An owner, a helper and a washer of a branch of their own."""

    def __init__(self, story: Story, people: People, browser: Browser) -> None:
        self.story = story
        self.services = story.services
        self.browser = browser
        self.origin = public_url(story.services.stack["web_url"])
        self.branch = f"people-{story.mark}"
        self.operator = people.person("operator", "operator-1")
        # Asks the services behind the pages' back.
        self.witness = people.person("owner", f"witness-{story.mark}", self.branch)
        self.washer = people.person("device", f"washer-{self.branch}", self.branch)

    async def tell(self) -> None:
        """Tell all of it, in order."""
        desk = await self._context(DESKTOP)
        endpoints = await subscribe_locally(desk, self.services.stack["fcm_url"])
        owner = await self._join(desk, "owner", await self._invite_owner())
        link = await self._invite_helper(owner)
        phone = await self._context(PHONE)
        helper = await self._join(phone, "helper", link)
        await self._turn_alerts_on(owner, endpoints)
        await self._photograph_offline(phone, helper)
        await self._confirm(owner, helper)
        await owner.close()
        await self._fail_the_washer(desk, endpoints[-1])

    async def _context(self, size: dict[str, Any]) -> BrowserContext:
        context = await self.browser.new_context(locale="en-US", **size)
        context.set_default_timeout(STEP_MS)
        return context

    async def _invite_owner(self) -> str:
        names = {"name_ko": "데모 지점", "name_en": "Demo branch"}
        body = {"id": self.branch, **names}
        await self._identity("/branches", body)
        made = await self._identity("/invitations", {"role": "owner", "branches": [self.branch]})
        self.story.say(f"the operator opened {self.branch} and has a link for its owner")
        link: str = made["link"]
        return link

    async def _identity(self, path: str, body: dict[str, Any]) -> Any:
        return await self.services.json("POST", "web", f"/api/identity{path}", who=self.operator, json=body)

    async def _join(self, context: BrowserContext, role: str, link: str) -> Page:
        """Accept an invitation and sign in; the page of the role."""
        began = time.perf_counter()
        name = f"{role}-of-{self.branch}"
        account = {
            "name": name,
            "email": f"{name}@example.com",
            "password": secrets.token_urlsafe(12),
        }
        page = await context.new_page()
        await page.goto(link)
        for field, text in account.items():
            await page.locator(f"input[name={field}]").fill(text)
        await page.locator("form.sign-in button[type=submit]").click()
        sign_in = page.locator(".start .sign-in a.button")
        await sign_in.wait_for()
        accepted = time.perf_counter()
        await sign_in.click()
        await page.locator(f"main .{role}").wait_for()
        signed_in = time.perf_counter()
        self.story.say(
            f"the {role} made an account from the link in {accepted - began:.1f} s "
            f"and was signed in {signed_in - accepted:.1f} s later"
        )
        self._note(f"{role} invited", "account made and signed in, in Chromium", signed_in - began)
        return page

    async def _invite_helper(self, owner: Page) -> str:
        await owner.locator('nav.views a[href="?view=people"]').click()
        await owner.locator("form.invite button[type=submit]").click()
        link = await owner.locator(".invited input").input_value()
        await owner.locator(".invited img").evaluate("(code) => code.decode()")
        self.story.say("the owner's page shows a QR code and a link for a helper, who opens it on a phone")
        return link

    async def _turn_alerts_on(self, owner: Page, endpoints: list[str]) -> None:
        await owner.locator(".reach .reach-switch button.primary").click()
        # The mark of this very browser in the list of devices.
        await owner.locator(".reach .device-name span").wait_for()
        if not endpoints:
            raise StoryFailed("the owner's page turned alerts on without a subscription")
        self.story.say("the owner turned alerts on in this browser")

    async def _photograph_offline(self, phone: BrowserContext, helper: Page) -> None:
        [(name, body)] = sample_photos(1, seed=secrets.randbelow(1_000_000))
        await phone.set_offline(True)
        photo: FilePayload = {"name": name, "mimeType": "image/jpeg", "buffer": body}
        await helper.locator(".shutter input[capture]").set_input_files(photo)
        await helper.locator('.load[data-status="waiting"]').wait_for()
        path = f"/tasks?branch_id={self.branch}"
        sent = await self.services.json("GET", "helper", path, who=self.witness)
        if sent["items"]:
            raise StoryFailed(f"the phone is offline and yet the photo arrived: {sent['items'][0]}")
        self.story.say("the helper's phone went offline and took a photo: it waits on the phone")
        began = time.perf_counter()
        await phone.set_offline(False)
        await helper.locator(".load[data-id]").wait_for()
        registered = time.perf_counter() - began
        await helper.locator('.load[data-status="read"]').wait_for()
        read = time.perf_counter() - began
        self.story.say(
            f"back online it was registered in {registered:.1f} s and read {read:.1f} s after that"
        )
        self._note("photo taken offline", "sent once online, and read", read)

    async def _confirm(self, owner: Page, helper: Page) -> None:
        await owner.locator('nav.views a[href="?view=confirm"]').click()
        yes = owner.locator('.confirm-card button[data-do="confirm"]')
        said = (await yes.inner_text()).strip()
        began = time.perf_counter()
        await yes.click()
        await helper.locator('.load[data-status="confirmed"]').wait_for()
        took = time.perf_counter() - began
        self.story.say(f"the owner tapped “{said}”; the helper's phone shows it {took:.1f} s later")
        self._note("confirmed on the page", said, took)

    async def _fail_the_washer(self, desk: BrowserContext, endpoint: str) -> None:
        """Let the washer fail while no page of the pages' origin is open."""
        began = time.perf_counter()
        fault = {"samples": [failing(self.washer, self.branch)]}
        await self.services.call("POST", "monitoring", "/telemetry", who=self.washer, json=fault)
        pushed, _ = await until(
            lambda: self.services.pushes(endpoint),
            within_s=self.story.patience_s,
            what="the push to the owner's closed page",
        )
        message = pushed[0]["message"]
        # DevTools look from a page, which is blank.
        blank = await desk.new_page()
        await deliver(blank, self.origin, message)
        rang = time.perf_counter() - began
        await blank.goto(f"{self.origin}/livez")
        [shown, *_], _ = await until(
            lambda: notifications(blank),
            within_s=self.story.patience_s,
            what="the notification of the closed page",
        )
        if shown["title"] != message["title"]:
            raise StoryFailed(f"the closed page shows something else than was pushed: {shown}")
        self.story.say(
            f"the owner's page is closed, and its worker rings: “{shown['title']}” {shown['body']}"
        )
        self._note("fault → closed page", shown["title"], rang)

    def _note(self, what: str, outcome: str, took_s: float) -> None:
        self.story.lines.append(Line(what, outcome, f"{took_s:.1f} s"))
