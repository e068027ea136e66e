"""Alerts with the page closed: what people tap, and what the worker shows of what is pushed."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from laundry.demo.browser import deliver, notifications
from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually

from .browsers import Engine, chromium, expect
from .conftest import OpenPage, shortcomings
from .fake_devices import PUSH_MANAGER
from .fake_services import FakeServices
from .fake_tasks import now

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ON = "Alerts reach this device, also with the page closed."
OFF = "With this page closed, no alert reaches this device yet."


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def engine() -> AsyncIterator[Engine]:
    """The one browser whose driver delivers what is pushed; its engine alone shows no notifications."""
    async with chromium.running(whole=True) as running:
        yield running


async def granting(page: Page) -> Page:
    await page.context.grant_permissions(["notifications"])
    return page


async def push(page: Page, *messages: dict[str, Any] | str) -> None:
    """Push to the page's worker once that is there."""
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    await deliver(page, await page.evaluate("location.origin"), *messages)


async def shows(page: Page, titles: list[str]) -> bool:
    return sorted(each["title"] for each in await notifications(page)) == sorted(titles)


def alert(title: str, notification_id: str, *, tag: str = "e1", sound: bool = True) -> dict[str, Any]:
    """A message as notification encrypts it."""
    data = {"kind": "equipment_fault", "notification_id": notification_id, "branch_id": "b1"}
    return {"title": title, "body": "b", "tag": tag, "renotify": sound, "silent": not sound, "data": data}


async def test_an_owner_turns_alerts_on_tries_them_and_turns_them_off(
    open_page: OpenPage, services: FakeServices
) -> None:
    services.devices.add("", reached_at=now(3))
    page = await granting(
        await open_page("/", role="owner", locale="en-US", sub="kim", script=PUSH_MANAGER, kept=True)
    )
    reach = page.locator(".reach")
    await expect(reach.get_by_text(OFF)).to_be_visible()
    await expect(reach.locator(".devices li")).to_have_count(1)
    await reach.get_by_role("button", name="Notify me of failures").click()
    await expect(reach.get_by_text(ON)).to_be_visible()
    [asked] = services.devices.asked
    assert asked["endpoint"].startswith("https://push.example/")
    assert (asked["keys"], asked["replaces"]) == ({"p256dh": "BPoint", "auth": "secret"}, None)
    assert asked["name"].startswith("Chrome · ")
    here = reach.locator(".devices li", has_text="this device")
    await expect(here).to_contain_text("no alert yet")
    await reach.get_by_role("button", name="Send me a test").click()
    await expect(reach.get_by_text("Sent. The test should appear here in a moment.")).to_be_visible()
    assert len(services.devices.tested) == 1
    assert await shortcomings(page) == {}

    # A later visit renews it and asks for nothing.
    await page.reload()
    await expect(reach.get_by_text(ON)).to_be_visible()
    await eventually(partial(_asked, services, 2), what="the renewal")
    assert services.devices.asked[1]["endpoint"] == asked["endpoint"]

    await reach.get_by_role("button", name="Remove App on Android").click()
    await expect(reach.locator(".devices li")).to_have_count(1)
    await reach.get_by_role("button", name="Turn off here").click()
    await expect(reach.get_by_text(OFF)).to_be_visible()
    assert services.devices.registered == {}
    assert await page.evaluate("localStorage.getItem('subscription-of-this-browser')") is None


async def _asked(services: FakeServices, times: int) -> bool:
    return len(services.devices.asked) >= times


async def test_a_device_that_is_gone_says_so_and_is_turned_on_again(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await granting(await open_page("/", role="owner", locale="en-US", script=PUSH_MANAGER, kept=True))
    reach = page.locator(".reach")
    await reach.get_by_role("button", name="Notify me of failures").click()
    await expect(reach.get_by_text(ON)).to_be_visible()
    services.devices.registered.clear()
    await reach.get_by_role("button", name="Send me a test").click()
    await expect(reach.get_by_text("Turn its alerts on again")).to_be_visible()
    await expect(reach.get_by_text(OFF)).to_be_visible()
    services.devices.refuse = Problem(409, "too-many-devices", "You have 10 devices.")
    await reach.get_by_role("button", name="Notify me of failures").click()
    await expect(reach.get_by_text("as many devices as one may have")).to_be_visible()
    # Nobody would push to it.
    assert await page.evaluate("localStorage.getItem('subscription-of-this-browser')") is None
    services.devices.refuse = None
    await reach.get_by_role("button", name="Notify me of failures").click()
    await expect(reach.get_by_text(ON)).to_be_visible()


async def test_another_person_on_this_phone_gets_nothing_of_the_one_before(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await granting(
        await open_page("/", role="owner", locale="en-US", sub="kim", script=PUSH_MANAGER, kept=True)
    )
    await page.get_by_role("button", name="Notify me of failures").click()
    await expect(page.locator(".reach").get_by_text(ON)).to_be_visible()
    await page.get_by_role("button", name="Sign out").first.click()
    await expect(page.locator(".reach")).to_have_count(0)
    gone = "() => localStorage.getItem('subscription-of-this-browser') === null"
    await page.wait_for_function(gone)


IPHONE = """
  const value = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Safari/604.1";
  Object.defineProperty(navigator, "userAgent", { value });
  delete window.PushManager;
"""


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (IPHONE, "Add to Home Screen"),
        ("delete window.PushManager;", "Use a current Chrome"),
        (f"{PUSH_MANAGER} Notification.requestPermission = async () => 'denied';", "are blocked"),
        (f"{PUSH_MANAGER} Notification.requestPermission = async () => 'default';", "allow them"),
        (
            f"{PUSH_MANAGER} Notification.requestPermission = async () => 'granted';"
            "PushManager.prototype.subscribe = async () => { throw new DOMException('', 'AbortError'); };",
            "could not register with its push service",
        ),
    ],
    ids=["iPhone", "old", "blocked", "dismissed", "no push service"],
)
async def test_what_is_in_the_way_is_said_when_somebody_wants_alerts_and_not_before(
    open_page: OpenPage, services: FakeServices, script: str, says: str
) -> None:
    page = await open_page("/", role="owner", locale="en-US", script=script, kept=True)
    reach = page.locator(".reach")
    button = reach.get_by_role("button", name="Notify me of failures")
    await expect(button).to_be_visible()
    await expect(reach.get_by_text(says)).to_have_count(0)
    await button.click()
    await expect(reach.get_by_text(says)).to_be_visible()
    await expect(button).to_be_enabled()
    assert services.devices.asked == []


async def with_many_alerts(open_page: OpenPage, services: FakeServices) -> tuple[Page, str]:
    """Open an owner's page with more alerts than it shows at once; returns it with the id of the oldest."""
    for number in range(12):
        services.notify(f"washer-{number}")
    page = await granting(await open_page("/", role="owner", locale="en-US", kept=True))
    await expect(page.locator(".alerts li")).to_have_count(12)
    return page, next(iter(services.notifications))


async def test_what_is_pushed_is_shown_once_for_one_fault_and_leads_to_it(
    open_page: OpenPage, services: FakeServices
) -> None:
    page, wanted = await with_many_alerts(open_page, services)
    first, second = (
        alert("Washer washer-0 failed (E42)", wanted),
        alert("2 washers in trouble", wanted, sound=False),
    )
    await push(page, first, second)
    await eventually(partial(shows, page, ["2 washers in trouble"]), what="one notification for both")
    [shown] = await notifications(page)
    assert (shown["tag"], shown["silent"], shown["data"]["notification_id"]) == ("e1", True, wanted)

    await push(page, "not of this version", {})
    await eventually(
        partial(shows, page, ["2 washers in trouble", *["스마트 세탁 · Smart Laundry"] * 2]),
        what="something for every push",
    )

    [worker] = await eventually(lambda: page.context.service_workers, what="the driver at the worker")
    await worker.evaluate(TAP, "e1")
    await expect(page.locator(f'.alerts [data-id="{wanted}"]')).to_be_focused()
    await expect(page.locator(f'.alerts [data-id="{wanted}"]')).to_be_in_viewport()


async def test_an_alert_leads_past_a_tab_that_hears_of_none(
    open_page: OpenPage, services: FakeServices
) -> None:
    page, wanted = await with_many_alerts(open_page, services)
    await push(page, alert("Washer washer-0 failed (E42)", wanted))
    await eventually(partial(shows, page, ["Washer washer-0 failed (E42)"]), what="the notification")
    for path in ("/privacy", "/unsubscribe"):
        other = await page.context.new_page()
        await other.goto(path)
        await other.bring_to_front()
    [worker] = await eventually(lambda: page.context.service_workers, what="the driver at the worker")
    first = "clients.matchAll({ type: 'window' }).then(([first]) => new URL(first.url).pathname)"
    assert await worker.evaluate(first) == "/unsubscribe"
    await worker.evaluate(TAP, "e1")
    await expect(page.locator(f'.alerts [data-id="{wanted}"]')).to_be_focused()


# Nobody can tap in a headless browser: the worker is told as if.
TAP = """async (tag) => {
  const [notification] = await registration.getNotifications({ tag });
  const event = new NotificationEvent("notificationclick", { notification });
  Object.defineProperty(event, "waitUntil", { value: (done) => done.catch(() => {}) });
  dispatchEvent(event);
}"""


# What is tapped beside the words of an alert, by somebody whose session the worker sends.
TAP_ACTION = """async ([tag, action]) => {
  const [notification] = await registration.getNotifications({ tag });
  const event = new NotificationEvent("notificationclick", { notification, action });
  Object.defineProperty(event, "waitUntil", { value: (done) => done.catch(() => {}) });
  dispatchEvent(event);
  return notification.actions.map((each) => each.title);
}"""


async def test_a_fault_is_taken_and_recommendations_end_by_one_tap_on_the_alert(
    open_page: OpenPage, services: FakeServices
) -> None:
    fault = services.fault("washer-1")["open_faults"][0]["id"]
    page = await granting(await open_page("/", role="owner", locale="en-US", kept=True))
    failed = alert("Washer washer-1 failed (E42)", next(iter(services.notifications)))
    failed["data"] |= {"fault_id": fault, "faults": "1"}
    suits = alert("A branch for you", "n2")
    suits |= {"tag": "e2", "data": {"kind": "branch_match", "stop_key": "key-of-kim"}}
    await push(page, failed, suits)
    both = partial(shows, page, [failed["title"], suits["title"]])
    await eventually(both, what="the two alerts")
    [worker] = await eventually(lambda: page.context.service_workers, what="the driver at the worker")
    assert await worker.evaluate(TAP_ACTION, ["e1", "take"]) == ["I'll take care of it"]
    await eventually(lambda: services.faults.taken == [fault], what="the fault to be taken")
    assert await worker.evaluate(TAP_ACTION, ["e2", "stop"]) == ["No more of these"]
    await eventually(lambda: services.stopped == ["key-of-kim"], what="the end of recommendations")


async def test_a_link_to_an_alert_leads_to_it(open_page: OpenPage, services: FakeServices) -> None:
    for number in range(12):
        services.notify(f"washer-{number}")
    wanted = next(iter(services.notifications))
    page = await open_page(f"/owner?alert={wanted}", role="owner")
    await expect(page.locator(f'.alerts [data-id="{wanted}"]')).to_be_focused()


async def test_a_new_address_of_this_browser_is_registered_in_place_of_the_old_one(
    open_page: OpenPage, services: FakeServices
) -> None:
    page = await open_page("/", role="owner", kept=True)
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    [worker] = await eventually(lambda: page.context.service_workers, what="the driver at the worker")
    await worker.evaluate(
        """() => {
          const event = new ExtendableEvent("pushsubscriptionchange");
          const toJSON = () => ({ endpoint: "https://push.example/new", keys: { p256dh: "B", auth: "a" } });
          Object.defineProperties(event, {
            waitUntil: { value: (done) => done.catch(() => {}) },
            oldSubscription: { value: { endpoint: "https://push.example/old" } },
            newSubscription: { value: { toJSON } },
          });
          dispatchEvent(event);
        }"""
    )
    await eventually(partial(_asked, services, 1), what="the new address")
    [asked] = services.devices.asked
    assert asked == {
        "endpoint": "https://push.example/new",
        "keys": {"p256dh": "B", "auth": "a"},
        "replaces": "https://push.example/old",
    }
