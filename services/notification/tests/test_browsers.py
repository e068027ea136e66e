"""Browsers that take pushes with the page closed: who registers which, and how a fault reaches them."""

import asyncio
import secrets
from collections import Counter
from typing import Any

import httpx
import pytest

from laundry_events import new_id
from laundry_testing.messaging import eventually
from laundry_testing.problems import assert_problem
from laundry_testing.serving import serving
from notification.app import create_app
from notification.model import device_id
from notification.tables import deliveries, devices, fault_alerts
from notification.web_push.vapid import VapidKey

from .conftest import VAPID_KEY, MakeSettings, World, a_fault, a_preference
from .test_web_push import KEYS

pytestmark = pytest.mark.servers

ENDPOINT = "https://web.push.apple.com/"


def subscription(**changes: Any) -> dict[str, Any]:
    """What a page sends; nobody listens there."""
    keys = {"p256dh": KEYS.p256dh, "auth": KEYS.auth, **changes.pop("keys", {})}
    endpoint = f"{ENDPOINT}{secrets.token_urlsafe(24)}"
    return {"endpoint": endpoint, "expirationTime": None, "keys": keys, **changes}


async def post(world: World, body: object, headers: dict[str, str]) -> httpx.Response:
    return await world.http.post("/devices/web-push/subscriptions", json=body, headers=headers)


async def own(world: World, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await world.http.get("/devices", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_browser_is_registered_renewed_listed_and_let_go(alone: World) -> None:
    owner = alone.identity.bearer("owner", "b2", "b1", sub="kim")
    body = subscription(name="Safari · iPhone")
    first = await post(alone, body, owner)
    assert first.status_code == 201, first.text
    shown = first.json()
    assert shown["id"] == device_id(body["endpoint"])
    assert (shown["name"], shown["platform"], shown["kind"]) == ("Safari · iPhone", "web", "web_push")
    assert (shown["branches"], shown["language"], shown["reached_at"]) == (["b1", "b2"], "ko", None)
    again = {**alone.identity.bearer("owner", "b3", sub="kim"), "Accept-Language": "en"}
    renewed = await post(alone, body, again)
    assert (renewed.status_code, renewed.json()["branches"], renewed.json()["language"]) == (
        200,
        ["b3"],
        "en",
    )
    await alone.register("owner", "b1", sub="kim", token="phone-1")
    listed = await own(alone, owner)
    assert [each["kind"] for each in listed] == ["web_push", "fcm"]
    # Who knows an endpoint, a secret or a token could push to the device.
    document = (await alone.http.get("/devices", headers=owner)).text
    assert not any(secret in document for secret in (body["endpoint"], KEYS.auth, KEYS.p256dh, "phone-1"))
    for _ in range(2):
        gone = await alone.http.delete(f"/devices/{shown['id']}", headers=owner)
        assert gone.status_code == 204
    assert [each["kind"] for each in await own(alone, owner)] == ["fcm"]


async def test_only_ones_own_devices_are_seen_and_touched(alone: World) -> None:
    body = subscription()
    await post(alone, body, alone.identity.bearer("owner", "b1", sub="kim"))
    stranger = alone.identity.bearer("owner", "b1", sub="smith")
    name = device_id(body["endpoint"])
    assert await own(alone, stranger) == []
    assert (await alone.http.delete(f"/devices/{name}", headers=stranger)).status_code == 204
    assert_problem(await alone.http.post(f"/devices/{name}/test", headers=stranger), 404, "device-not-found")
    assert await alone.count(devices) == 1
    for role in ("helper", "device"):
        bearer = alone.identity.bearer(role, "b1")
        assert_problem(await post(alone, body, bearer), 403, "role-forbidden")
        assert_problem(await alone.http.get("/devices", headers=bearer), 403, "role-forbidden")
        assert_problem(await alone.http.get("/devices/web-push/key", headers=bearer), 403, "role-forbidden")
    assert_problem(await alone.http.get("/devices"), 401, "token-missing")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"endpoint": "http://169.254.169.254/latest/meta-data/"}, "endpoint-not-allowed"),
    ({"endpoint": "http://127.0.0.1:5432/"}, "endpoint-not-allowed"),
    ({"endpoint": "https://127.0.0.1/"}, "endpoint-not-allowed"),
    ({"endpoint": "https://evil.example/push"}, "endpoint-not-allowed"),
    ({"endpoint": "https://fcm.googleapis.com@evil.example/"}, "endpoint-not-allowed"),
    ({"endpoint": "a-token"}, "endpoint-not-allowed"),
    ({"endpoint": ENDPOINT + "x" * 1500}, "invalid-request"),
    ({"endpoint": ENDPOINT + "\n"}, "invalid-request"),
    ({"endpoint": ""}, "invalid-request"),
    ({"keys": {"p256dh": "B" * 87}}, "subscription-invalid"),
    ({"keys": {"p256dh": KEYS.p256dh[:-4]}}, "subscription-invalid"),
    ({"keys": {"auth": "c2hvcnQ"}}, "subscription-invalid"),
    ({"keys": {"auth": "한글"}}, "subscription-invalid"),
    ({"keys": {"private": "x"}}, "invalid-request"),
    ({"name": "x" * 61}, "invalid-request"),
    ({"name": "a\u0000b"}, "invalid-request"),
    ({"name": "a\nb"}, "invalid-request"),
    ({"user_id": "smith"}, "invalid-request"),
]


async def test_what_is_no_browser_of_a_known_push_service_is_refused(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    for changes, code in REFUSED:
        assert_problem(await post(alone, subscription(**changes), bearer), 422, code)
    assert await alone.count(devices) == 0


async def test_fifty_browsers_of_one_person_are_as_many_as_the_limit_and_a_sentence(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    phone = await alone.register("owner", "b1", sub="kim")
    answers = await asyncio.gather(*(post(alone, subscription(), bearer) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 9, 409: 41}
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert_problem(refused, 409, "too-many-devices")
    assert "10 devices" in refused.json()["detail"]
    # Nobody silences a phone by registering others.
    assert await alone.count(devices, devices.c.token == phone) == 1
    listed = await own(alone, bearer)
    assert (await alone.http.delete(f"/devices/{listed[-1]['id']}", headers=bearer)).status_code == 204
    assert (await post(alone, subscription(), bearer)).status_code == 201


async def test_a_browser_whose_address_changed_replaces_itself(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    for _ in range(9):
        await post(alone, subscription(), bearer)
    old, new = subscription(name="Firefox · Windows"), subscription()
    assert (await post(alone, old, bearer)).status_code == 201
    assert (await post(alone, {**new, "replaces": old["endpoint"]}, bearer)).status_code == 201
    assert await alone.count(devices) == 10
    assert await alone.count(devices, devices.c.token == old["endpoint"]) == 0
    # The worker, which registers the new address, does not know what the page called the browser.
    assert [each["name"] for each in await own(alone, bearer) if each["name"]] == ["Firefox · Windows"]
    stranger = alone.identity.bearer("owner", "b1", sub="smith")
    assert (await post(alone, {**subscription(), "replaces": new["endpoint"]}, stranger)).status_code == 201
    assert await alone.count(devices, devices.c.token == new["endpoint"]) == 1


async def test_an_address_is_no_token_of_fcm(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    body = {"token": "https://web.push.apple.com/x", "platform": "web"}
    assert_problem(await alone.http.post("/devices", json=body, headers=bearer), 422, "token-is-an-address")


async def test_without_a_key_pages_are_told_that_there_is_no_web_push(
    alone: World, make_settings: MakeSettings
) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    async with serving(create_app(make_settings(web_push_private_key=None))) as http:
        assert_problem(await http.get("/devices/web-push/key", headers=bearer), 404, "web-push-off")
        answer = await http.post("/devices/web-push/subscriptions", json=subscription(), headers=bearer)
        assert_problem(answer, 404, "web-push-off")
    public = (await alone.http.get("/devices/web-push/key", headers=bearer)).json()["public_key"]
    assert public == VapidKey(VAPID_KEY).public


async def test_somebody_tries_whether_alerts_reach_a_device(alone: World) -> None:
    endpoint = await alone.subscribe("owner", "b1", sub="kim", language="en")
    phone = await alone.register("owner", "b1", sub="kim")
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    for token in (endpoint, phone):
        answer = await alone.http.post(f"/devices/{device_id(token)}/test", headers=bearer)
        assert answer.status_code == 204, answer.text
    [message] = await alone.phones.got(endpoint)
    assert (message["title"], message["data"]["kind"]) == ("This is a test", "test")
    assert [each["title"] for each in await alone.phones.got(phone)] == ["시험 알림입니다"]
    assert all(each["reached_at"] for each in await own(alone, bearer))

    trouble = {"token_prefix": endpoint, "times": 1}
    tried = f"/devices/{device_id(endpoint)}/test"
    await alone.phones.control(status=429, retry_after_seconds=7, **trouble)
    later = await alone.http.post(tried, headers=bearer)
    assert_problem(later, 503, "push-later")
    assert later.headers["Retry-After"] == "7"
    await alone.phones.control(status=403, **trouble)
    assert_problem(await alone.http.post(tried, headers=bearer), 409, "push-refused")
    await alone.phones.client.delete(endpoint)
    assert_problem(await alone.http.post(tried, headers=bearer), 410, "device-gone")
    assert [each["kind"] for each in await own(alone, bearer)] == ["fcm"]


async def test_a_fault_rings_a_browser_within_the_promise_and_a_second_one_updates_it(world: World) -> None:
    endpoint = await world.subscribe("owner", "b1", sub="kim")
    fault = a_fault()
    await world.publish(fault)
    [message] = await world.phones.gets(endpoint)
    assert message["title"] == "세탁기 washer-3 고장 (E21)"
    assert message["headers"]["urgency"] == "high"
    assert message["headers"]["ttl"] == "3600"
    told = message["message"]
    assert (told["renotify"], told["silent"]) == (True, False)
    assert (told["data"]["fault_id"], told["data"]["branch_id"]) == (fault.fault_id, "b1")
    await world.publish(a_fault(equipment_id="washer-4"))
    _, second = await world.phones.gets(endpoint, 2)
    assert second["title"] == "세탁기 2대 고장"
    assert second["message"]["tag"] == told["tag"]
    assert second["headers"]["topic"] == message["headers"]["topic"]
    [shown] = await own(world, world.identity.bearer("owner", "b1", sub="kim"))
    assert shown["reached_at"]


async def test_a_customers_browser_is_told_of_a_branch(world: World) -> None:
    endpoint = await world.subscribe("customer", sub="lee", language="en")
    await world.agree("lee")
    await world.publish(a_preference("lee"))
    [message] = await world.phones.gets(endpoint)
    assert message["title"].startswith("(Ad) A branch for you")
    assert message["headers"]["urgency"] == "low"
    # Not beyond the evening: it is about noon where she lives.
    assert 7 * 3600 < int(message["headers"]["ttl"]) <= 9 * 3600


async def test_a_subscription_that_is_over_is_removed_and_the_phone_still_rings(world: World) -> None:
    endpoint = await world.subscribe("owner", "b1", sub="kim")
    phone = await world.register("owner", "b1", sub="kim")
    await world.phones.client.delete(endpoint)
    await world.publish(a_fault())
    await world.phones.gets(phone)

    async def removed() -> bool:
        return await world.count(devices, devices.c.token == endpoint) == 0

    await eventually(removed, what="the end of the subscription")
    await world.settled("owner", "b1", sub="kim", state="sent")


async def test_a_push_that_is_refused_ends_and_its_browser_stays(world: World) -> None:
    endpoint = await world.subscribe("owner", "b1", sub="kim")
    await world.phones.control(status=403, token_prefix=endpoint)
    await world.publish(a_fault())
    await world.settled("owner", "b1", sub="kim", state="failed")
    assert await world.count(devices, devices.c.token == endpoint) == 1
    assert await world.count(deliveries, deliveries.c.last_error.startswith("403")) == 1


@pytest.mark.parametrize(
    ("trouble", "tuned"),
    [
        ({"status": 429, "retry_after_seconds": 1}, {}),
        ({"delay_seconds": 60}, {"fcm_attempt_timeout_s": 3}),
    ],
    ids=["429 with Retry-After", "hangs"],
)
async def test_a_push_service_in_trouble_is_tried_again_and_rings_when_it_is_back(
    world: World, trouble: dict[str, int]
) -> None:
    endpoint = await world.subscribe("owner", "b1", sub="kim")
    await world.phones.control(token_prefix=endpoint, **trouble)
    await world.publish(a_fault())
    await eventually(
        lambda: world.count(fault_alerts, fault_alerts.c.failures > 0), what="the first try to fail"
    )
    assert await world.phones.got(endpoint) == []
    await world.phones.control()
    assert len(await world.phones.gets(endpoint, within_s=15)) == 1
    assert await world.count(devices) == 1


async def test_a_push_service_that_is_away_holds_up_no_phone_and_all_its_browsers_ring_afterwards(
    world: World,
) -> None:
    browsers = [await world.subscribe("owner", f"b{number}", sub=f"owner-{number}") for number in range(30)]
    calm = await world.register("owner", "calm", sub="kim")
    prefix = browsers[0].rpartition("/")[0]
    await world.phones.control(token_prefix=prefix, status=503)
    for number in range(30):
        await world.publish(a_fault(branch_id=f"b{number}"))
    await eventually(
        lambda: world.count(fault_alerts, fault_alerts.c.failures > 1), what="failures one after another"
    )
    for _ in range(3):
        before = len(await world.phones.got(calm))
        await world.publish(a_fault(branch_id="calm", equipment_id=f"washer-{new_id()[-6:]}"))
        await world.phones.gets(calm, before + 1)
        waiting = await world.count(deliveries, deliveries.c.token != calm, deliveries.c.state == "pending")
        assert waiting == len(browsers)
    await world.phones.control()
    for browser in browsers:
        assert len(await world.phones.gets(browser, within_s=30)) == 1
