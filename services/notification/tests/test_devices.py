"""Who may register which phone, and what becomes of a token that moves."""

import httpx
import pytest

from notification.tables import deliveries, devices

from .conftest import World, a_fault, assert_problem

pytestmark = pytest.mark.servers


async def post(world: World, body: object, headers: dict[str, str] | None = None) -> httpx.Response:
    return await world.http.post("/devices", json=body, headers=headers or {})


async def test_registering_again_renews_and_makes_no_second_device(alone: World) -> None:
    owner = alone.identity.bearer("owner", "b2", "b1", sub="kim")
    body = {"token": "phone-1", "platform": "ios"}
    first = await post(alone, body, owner)
    assert first.status_code == 201
    assert first.json() == {**body, "language": "ko", "branches": ["b1", "b2"]}
    again = await post(
        alone, body, {**alone.identity.bearer("owner", "b3", sub="kim"), "Accept-Language": "en"}
    )
    assert again.status_code == 200
    assert again.json() == {**body, "language": "en", "branches": ["b3"]}
    assert await alone.count(devices) == 1


async def test_a_customers_device_has_no_branches(alone: World) -> None:
    answer = await post(
        alone, {"token": "t", "platform": "web"}, alone.identity.bearer("customer", "b1", sub="lee")
    )
    assert answer.json()["branches"] == []


async def test_only_owners_and_customers_have_devices_and_histories(alone: World) -> None:
    body = {"token": "phone-1", "platform": "android"}
    for role in ("helper", "operator", "device"):
        bearer = alone.identity.bearer(role, "b1")
        assert_problem(await post(alone, body, bearer), 403, "role-forbidden")
        assert_problem(await alone.http.get("/notifications", headers=bearer), 403, "role-forbidden")
        assert_problem(await alone.http.get("/notifications/stream", headers=bearer), 403, "role-forbidden")
    assert_problem(await post(alone, body), 401, "token-missing")
    assert_problem(await post(alone, body, alone.identity.bearer("owner", seconds=-60)), 401, "token-expired")
    assert await alone.count(devices) == 0


async def test_bad_devices_are_refused(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1")
    for body in (
        {},
        {"token": "", "platform": "ios"},
        {"token": "t", "platform": "fax"},
        {"token": "t" * 5000, "platform": "ios"},
        {"token": "with space", "platform": "ios"},
        {"token": "t", "platform": "ios", "user_id": "smith"},
        ["t"],
    ):
        assert_problem(await post(alone, body, bearer), 422, "invalid-request")
    broken = await alone.http.post(
        "/devices", content=b'{"token', headers={**bearer, "Content-Type": "application/json"}
    )
    assert_problem(broken, 400, "malformed-json")
    assert await alone.count(devices) == 0


async def test_a_phone_that_changes_hands_moves_with_nothing_of_its_former_user(alone: World) -> None:
    await alone.register("owner", "b1", sub="kim", token="phone-1")
    await alone.register("customer", sub="lee", token="phone-1")
    assert await alone.count(devices) == 1
    assert await alone.count(devices, devices.c.user_id == "lee", devices.c.role == "customer") == 1
    assert await alone.count(deliveries) == 0


async def test_one_forgets_only_ones_own_device(alone: World) -> None:
    await alone.register("owner", "b1", sub="kim", token="phone-1")
    stranger = alone.identity.bearer("owner", "b1", sub="smith")
    owner = alone.identity.bearer("owner", "b1", sub="kim")
    body = {"token": "phone-1"}
    assert (await alone.http.request("DELETE", "/devices", json=body, headers=stranger)).status_code == 204
    assert await alone.count(devices) == 1
    assert (await alone.http.request("DELETE", "/devices", json=body, headers=owner)).status_code == 204
    assert await alone.count(devices) == 0
    again = await alone.http.delete("/devices", params={"token": "phone-1"}, headers=owner)
    assert again.status_code == 204
    assert_problem(await alone.http.delete("/devices", headers=owner), 422, "token-needed")


async def test_beyond_the_limit_the_longest_unused_phone_goes(alone: World) -> None:
    for number in range(10):
        await alone.register("owner", "b1", sub="kim", token=f"phone-{number}")
    await alone.register("owner", "b1", sub="kim", token="phone-0")
    await alone.register("owner", "b1", sub="kim", token="phone-10")
    assert await alone.count(devices) == 10
    assert await alone.count(devices, devices.c.token == "phone-1") == 0
    assert await alone.count(devices, devices.c.token == "phone-0") == 1


async def test_a_forgotten_phone_rings_no_more(world: World) -> None:
    kept = await world.register("owner", "b1", sub="kim")
    gone = await world.register("owner", "b1", sub="kim")
    headers = world.identity.bearer("owner", "b1", sub="kim")
    await world.http.delete("/devices", params={"token": gone}, headers=headers)
    await world.publish(a_fault())
    await world.phones.gets(kept)
    await world.settled("owner", "b1", sub="kim", state="sent")
    assert await world.phones.got(gone) == []
