"""Who may register which phone, and what becomes of a token that moves."""

import asyncio
import secrets
from collections import Counter

import httpx
import pytest
import sqlalchemy as sa

from laundry_testing.problems import assert_problem
from notification.tables import deliveries, devices, owner_branches

from .conftest import World, a_fault

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


async def test_only_who_is_told_something_has_devices_and_histories(alone: World) -> None:
    body = {"token": "phone-1", "platform": "android"}
    for role in ("helper", "device"):
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


async def test_fifty_phones_at_once_leave_the_limit_and_no_error(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    answers = await asyncio.gather(
        *(post(alone, {"token": f"phone-{number}", "platform": "ios"}, bearer) for number in range(50))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 50}
    assert await alone.count(devices, devices.c.user_id == "kim") == 10


async def test_one_phone_registered_by_many_at_once_is_the_last_ones(alone: World) -> None:
    people = [alone.identity.bearer("owner", "b1", sub=f"owner-{number}") for number in range(20)]
    body = {"token": "phone-1", "platform": "ios"}
    answers = await asyncio.gather(*(post(alone, body, bearer) for bearer in people))
    assert Counter(answer.status_code for answer in answers) == {201: 20}
    assert await alone.count(devices) == 1


async def test_phones_that_swap_their_users_at_once_wait_for_each_other_and_not_in_a_circle(
    alone: World,
) -> None:
    people = [alone.identity.bearer("owner", "b1", sub=sub) for sub in ("kim", "lee")]
    for _ in range(5):
        answers = await asyncio.gather(
            *(
                post(alone, {"token": f"phone-{number}", "platform": "ios"}, people[(number + turn) % 2])
                for turn in range(2)
                for number in range(12)
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 201}
    for sub in ("kim", "lee"):
        assert await alone.count(devices, devices.c.user_id == sub) <= 10


async def test_registering_and_forgetting_at_once(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    body = {"token": "phone-1", "platform": "ios"}
    answers = await asyncio.gather(
        *(
            post(alone, body, bearer)
            if number % 2
            else alone.http.delete("/devices", params={"token": "phone-1"}, headers=bearer)
            for number in range(30)
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 204}


@pytest.mark.parametrize("tuned", [{"lock_timeout_s": 5}], ids=["5 s"])
async def test_a_phone_that_somebody_holds_is_answered_busy_and_holds_up_nobody_else(alone: World) -> None:
    held = await alone.register("owner", "b1", sub="kim")
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    async with alone.database.transaction() as session:
        found = await session.execute(
            sa.select(devices.c.token).where(devices.c.token == held).with_for_update()
        )
        assert found.first() is not None
        waiting = [
            asyncio.create_task(post(alone, {"token": held, "platform": "ios"}, bearer)) for _ in range(20)
        ]
        await asyncio.sleep(0.2)
        await asyncio.gather(*(alone.register("owner", "b2", sub=f"other-{number}") for number in range(5)))
        assert await alone.history("owner", "b2", sub="other-1") == []
        assert not all(task.done() for task in waiting)
        for answer in await asyncio.gather(*waiting):
            assert_problem(answer, 503, "busy")
            assert int(answer.headers["Retry-After"]) >= 1
    assert (await post(alone, {"token": held, "platform": "ios"}, bearer)).status_code == 200


async def test_an_owner_whose_row_somebody_holds_reads_all_the_same(alone: World) -> None:
    await alone.history("owner", "b1", sub="kim")
    async with alone.database.transaction() as session:
        await session.execute(
            sa.update(owner_branches).values(seen_at=sa.func.now() - sa.text("interval '1 day'"))
        )
    async with alone.database.transaction() as session:
        await session.execute(sa.select(owner_branches).with_for_update())
        assert await alone.history("owner", "b1", sub="kim") == []
    await alone.history("owner", "b1", sub="kim")
    recent = owner_branches.c.seen_at > sa.func.now() - sa.text("interval '1 minute'")
    assert await alone.count(owner_branches, recent) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'{"token": "a\\u0000b", "platform": "ios"}',
        b'{"token": "a\\ud800b", "platform": "ios"}',
        b'{"token": "t", "platform": "\\ud800"}',
        b'{"token": "t", "platform": "ios", "\\ud800": 1}',
        b'{"token": "t\\n", "platform": "ios"}',
        b'{"token": "\xed\xa0\x80", "platform": "ios"}',
        b'{"token": {"$gt": ""}, "platform": "ios"}',
        b'{"token": "' + b"t" * 4097 + b'", "platform": "ios"}',
        b"[" * 2000,
        b"\xff\xfe",
    ],
    ids=[
        "nul",
        "surrogate",
        "surrogate-enum",
        "surrogate-name",
        "newline",
        "cesu",
        "object",
        "long",
        "deep",
        "utf-16",
    ],
)
async def test_a_body_that_no_phone_sends_is_refused_with_its_reason(alone: World, raw: bytes) -> None:
    headers = {**alone.identity.bearer("owner", "b1"), "Content-Type": "application/json"}
    for method in ("POST", "DELETE"):
        answer = await alone.http.request(method, "/devices", content=raw, headers=headers)
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["detail"]


async def test_the_longest_token_can_be_stored_whatever_it_is(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1", sub="kim")
    token = secrets.token_urlsafe(2048)[:2048]
    assert (await post(alone, {"token": token, "platform": "ios"}, bearer)).status_code == 201
    refused = await post(alone, {"token": f"{token}x", "platform": "ios"}, bearer)
    assert_problem(refused, 422, "invalid-request")


async def test_a_query_that_no_phone_sends_is_refused(alone: World) -> None:
    bearer = alone.identity.bearer("owner", "b1")
    for query in ("token=%00", "token=%ed%a0%80", "token=" + "t" * 4097, "token="):
        answer = await alone.http.delete(f"/devices?{query}", headers=bearer)
        assert answer.status_code == 422, answer.text


async def test_a_forgotten_phone_rings_no_more(world: World) -> None:
    kept = await world.register("owner", "b1", sub="kim")
    gone = await world.register("owner", "b1", sub="kim")
    headers = world.identity.bearer("owner", "b1", sub="kim")
    await world.http.delete("/devices", params={"token": gone}, headers=headers)
    await world.publish(a_fault())
    await world.phones.gets(kept)
    await world.settled("owner", "b1", sub="kim", state="sent")
    assert await world.phones.got(gone) == []
