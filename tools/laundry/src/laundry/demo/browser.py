"""A real Chromium, and what its maker's push service would do for it.

Headless, it cannot subscribe: here it does so at the local push service, which holds the keys that a browser
keeps to itself, and what comes there is handed to the pages' worker by DevTools. The worker and what it shows
are real.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from laundry.demo.client import Skipped, StoryFailed

PROGRAMS = ("chromium", "chromium-browser")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
REGISTRATION_S = 20
PUSH_S = 30
SUBSCRIBE = """
  let made = null;
  const decode = (text) => {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (character) => character.charCodeAt(0)).buffer;
  };
  PushManager.prototype.getSubscription = async () => made;
  PushManager.prototype.subscribe = async ({ applicationServerKey: key }) => {
    const subscription = await subscribeAtPushService(key);
    made = {
      endpoint: subscription.endpoint,
      options: { applicationServerKey: decode(key) },
      toJSON: () => subscription,
      unsubscribe: async () => true,
    };
    return made;
  };
"""


def chromium_path() -> str | None:
    """Return where Chromium is, or the program that ``LAUNDRY_CHROMIUM`` names; None if it is not there."""
    named = os.environ.get("LAUNDRY_CHROMIUM")
    return next(filter(None, map(shutil.which, (named,) if named else PROGRAMS)), None)


@asynccontextmanager
async def chromium(path: str) -> AsyncIterator[Browser]:
    """Run Chromium, without a window, while the block runs.

    Raises:
        Skipped: it does not start, as where Ubuntu's package only points to a snap.
    """
    asyncio.get_running_loop().set_exception_handler(_report)
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except Error as error:
            raise Skipped(f"Chromium does not start: {path}: {error.message.splitlines()[0]}") from error
        try:
            yield browser
        finally:
            # Ctrl-C in a terminal reaches the driver too, which may have ended before.
            with suppress(Error):
                await browser.close()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what nobody awaited, but not what was still asked of a driver that Ctrl-C has ended."""
    if "reading from the driver" not in str(context.get("exception")):
        loop.default_exception_handler(context)


async def subscribe_locally(context: BrowserContext, push_service_url: str) -> list[str]:
    """Let a context's pages show notifications and subscribe; returns the list that takes their endpoints."""
    endpoints: list[str] = []

    async def subscribe(key: str) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=push_service_url, timeout=10) as client:
            made = await client.post("/web-push/subscriptions", json={"applicationServerKey": key})
        subscription: dict[str, Any] = made.raise_for_status().json()
        endpoints.append(subscription["endpoint"])
        return subscription

    await context.grant_permissions(["notifications"])
    await context.expose_function("subscribeAtPushService", subscribe)
    await context.add_init_script(f"if (isSecureContext) {{ {SUBSCRIBE} }}")
    return endpoints


async def deliver(page: Page, origin: str, *messages: dict[str, Any] | str) -> None:
    """Push to the worker of an origin as its push service does, decrypted as by the browser.

    Args:
        page: any page of the worker's context, from which DevTools look; it may be blank.
        messages: objects are sent as JSON.

    Raises:
        StoryFailed: no worker of that origin is active, or it did not handle a message.
    """
    driver = await page.context.new_cdp_session(page)
    registration: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(event: dict[str, Any]) -> None:
        for each in event["versions"]:
            active = each["status"] == "activated" and each["scriptURL"].startswith(f"{origin}/")
            if active and not registration.done():
                registration.set_result(each["registrationId"])

    driver.on("ServiceWorker.workerVersionUpdated", note)
    await driver.send("ServiceWorker.enable")
    try:
        async with asyncio.timeout(REGISTRATION_S):
            worker = await registration
    except TimeoutError as error:
        raise StoryFailed(f"no worker of {origin} is registered") from error
    handled: asyncio.Queue[None] = asyncio.Queue()

    def count(event: dict[str, Any]) -> None:
        if event["backgroundServiceEvent"]["eventName"] == "Push event completed":
            handled.put_nowait(None)

    driver.on("BackgroundService.backgroundServiceEventReceived", count)
    await driver.send("BackgroundService.startObserving", {"service": "pushMessaging"})
    await driver.send("BackgroundService.setRecording", {"service": "pushMessaging", "shouldRecord": True})
    for message in messages:
        data = message if isinstance(message, str) else json.dumps(message)
        what = {"origin": f"{origin}/", "registrationId": worker, "data": data}
        await driver.send("ServiceWorker.deliverPushMessage", what)
        try:
            async with asyncio.timeout(PUSH_S):
                await handled.get()
        except TimeoutError as error:
            raise StoryFailed(f"the worker of {origin} did not handle what was pushed") from error
    await driver.detach()


async def notifications(page: Page) -> list[dict[str, Any]]:
    """Return what the system shows of the alerts of a page's origin."""
    shown: list[dict[str, Any]] = await page.evaluate(
        """async () => {
          const registration = await navigator.serviceWorker.ready;
          const shown = await registration.getNotifications();
          return shown.map(({ title, body, tag, silent, data }) => ({ title, body, tag, silent, data }));
        }"""
    )
    return shown
