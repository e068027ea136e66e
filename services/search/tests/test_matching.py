"""Tastes and preferences over HTTP, on a real database."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from laundry_events.envelope import MAX_MESSAGE_BYTES
from laundry_events.events import PreferenceCreated
from laundry_events.tables import outbox
from laundry_testing.messaging import Messaging
from laundry_testing.problems import assert_problem
from laundry_testing.serving import serving
from search import repository
from search.app import create_app
from search.matching import suitability
from search.service.housekeeping import forget_old_matches
from search.tables import customer_tags, customers, matches, preferences

from .conftest import WORDS, MakeSettings, World

pytestmark = pytest.mark.servers


async def test_a_preference_reaches_the_customers_whom_it_suits(world: World) -> None:
    await world.likes("kim", quiet=0.9, sauna=0.4)
    await world.likes("lee", quiet=0.2, pool=1)
    await world.likes("han", party=1)
    stated = await world.state("b1", quiet=0.8, sauna=0.6, pool=0.5)
    assert stated["matched"] == 2
    (event,) = await world.events()
    PreferenceCreated.model_validate(event)
    assert (event["preference_id"], event["branch_id"]) == (stated["id"], "b1")
    assert (event["title"], event["text"]) == (WORDS["title"], WORDS["text"])
    assert (event["part"], event["parts"]) == (1, 1)
    assert event["matches"] == [
        {"customer_id": "kim", "score": 0.75, "reasons": ["quiet", "sauna"]},
        {"customer_id": "lee", "score": 0.4516, "reasons": ["pool", "quiet"]},
    ]


async def test_tags_are_listed_in_words_with_the_branches_that_use_them(world: World) -> None:
    await world.state("b1", quiet=0.8, 옥상=0.6)
    await world.state("b1", quiet=0.4)
    await world.state("b2", quiet=0.3, roof_top=0.5, 옥상=0.1)
    answer = await world.http.get("/branches/tags", headers=world.customer("kim"))
    items = answer.json()["items"]
    quiet = {"tag": "quiet", "group": "mood", "ko": "조용해요", "en": "Quiet", "branches": 2}
    assert items[0] == quiet
    assert [item["tag"] for item in items if item["group"] is None] == ["옥상", "roof_top"]
    assert {item["tag"]: item["branches"] for item in items}["sauna"] == 0
    device = world.identity.bearer("device", "b1")
    assert_problem(await world.http.get("/branches/tags", headers=device), 403, "role-forbidden")


async def test_without_anybody_to_tell_nothing_is_told(world: World) -> None:
    await world.likes("han", party=1)
    stated = await world.state("b1", quiet=0.8)
    assert stated["matched"] == 0
    assert await world.events() == []


async def test_a_customer_sees_what_suits_him_and_why(world: World) -> None:
    await world.state("b1", quiet=0.1, party=1)
    await world.state("b1", quiet=0.8, sauna=0.6, pool=0.5)
    await world.state("b2", quiet=0.9, sauna=0.4)
    await world.state("b3", party=1)
    await world.likes("kim", quiet=0.9, sauna=0.4)
    page = await world.matching("kim")
    assert page["next_cursor"] is None
    best, second = page["items"]
    assert (best["branch_id"], best["score"], best["reasons"]) == ("b2", 1, ["quiet", "sauna"])
    assert (second["branch_id"], second["score"]) == ("b1", 0.75)
    assert second["shares"] == [
        {"tag": "quiet", "yours": 0.9, "theirs": 0.8, "adds": 0.5},
        {"tag": "sauna", "yours": 0.4, "theirs": 0.6, "adds": 0.25},
    ]
    assert second["preference"]["tags"] == {"quiet": 0.8, "sauna": 0.6, "pool": 0.5}
    assert second["preference"]["matched"] is None


async def test_pages_of_matching_branches_have_no_gap_and_no_repeat(world: World) -> None:
    await world.likes("kim", quiet=1)
    for number in range(7):
        await world.state(f"b{number}", quiet=0.5 + (number % 3) / 10)
    seen: list[tuple[float, str]] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = await world.matching("kim", **query)
        seen += [(item["score"], item["branch_id"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted({branch for _, branch in seen}) == [f"b{number}" for number in range(7)]
    assert seen == sorted(seen, key=lambda item: (-item[0], item[1]))
    assert len(seen) == 7


async def test_a_customer_changes_and_withdraws_his_taste(world: World) -> None:
    headers = world.customer("kim")
    assert_problem(await world.http.get("/customers/me/preference", headers=headers), 404, "no-preference")
    assert_problem(await world.http.get("/branches/matching", headers=headers), 404, "no-preference")
    await world.likes("kim", quiet=0.9)
    await world.likes("kim", party=1, bar=0.5)
    taste = (await world.http.get("/customers/me/preference", headers=headers)).json()
    assert taste["tags"] == {"party": 1, "bar": 0.5}
    await world.state("b1", quiet=0.9)
    assert await world.count(matches) == 0
    await world.state("b1", party=1)
    assert await world.count(matches) == 1
    assert (await world.http.delete("/customers/me/preference", headers=headers)).status_code == 204
    assert (await world.http.delete("/customers/me/preference", headers=headers)).status_code == 204
    for table in (customers, customer_tags, matches):
        assert await world.count(table) == 0


async def test_a_customer_touches_only_himself(world: World) -> None:
    await asyncio.gather(world.likes("kim", quiet=0.9), world.likes("lee", party=1))
    await world.http.delete("/customers/me/preference", headers=world.customer("lee"))
    kim = (await world.http.get("/customers/me/preference", headers=world.customer("kim"))).json()
    assert kim["tags"] == {"quiet": 0.9}


async def test_who_may_do_what(world: World) -> None:
    body = {"tags": {"quiet": 1}, **WORDS}
    taste = {"tags": {"quiet": 1}}
    for role in ("helper", "customer", "operator", "device"):
        bearer = world.identity.bearer(role, "b1")
        answer = await world.http.post("/branches/b1/preferences", json=body, headers=bearer)
        assert_problem(answer, 403, "role-forbidden")
    for role in ("helper", "owner", "operator", "device"):
        bearer = world.identity.bearer(role, "b1")
        answer = await world.http.put("/customers/me/preference", json=taste, headers=bearer)
        assert_problem(answer, 403, "role-forbidden")
        for path in ("/branches/matching", "/branches/matching/stream", "/customers/me/preference"):
            assert_problem(await world.http.get(path, headers=bearer), 403, "role-forbidden")
    foreign = await world.http.post("/branches/b2/preferences", json=body, headers=world.owner("b1"))
    assert_problem(foreign, 403, "branch-forbidden")
    assert_problem(await world.http.post("/branches/b1/preferences", json=body), 401, "token-missing")
    expired = world.identity.bearer("owner", "b1", seconds=-60)
    answer = await world.http.post("/branches/b1/preferences", json=body, headers=expired)
    assert_problem(answer, 401, "token-expired")
    path = "/branches/b1/preferences"
    assert_problem(await world.http.get(path, headers=world.owner("b2")), 403, "branch-forbidden")
    assert_problem(await world.http.get(path, headers=world.identity.bearer("device")), 403, "role-forbidden")
    assert await world.count(preferences) == await world.count(customers) == 0


async def test_what_is_taken_back_suits_nobody_and_is_announced(world: World) -> None:
    await world.likes("lee", quiet=0.9)
    stated = [await world.state("b1", quiet=0.9) for _ in range(3)]
    await world.state("b2", quiet=0.9)
    path = f"/branches/b1/preferences/{stated[0]['id']}"
    for headers, status, code in (
        (world.owner("b2"), 403, "branch-forbidden"),
        (world.customer("lee"), 403, "role-forbidden"),
        (world.identity.bearer("helper", "b1"), 403, "role-forbidden"),
    ):
        assert_problem(await world.http.delete(path, headers=headers), status, code)
    assert (await world.http.delete(path, headers=world.owner("b1"))).status_code == 204
    assert_problem(await world.http.delete(path, headers=world.owner("b1")), 404, "preference-unknown")
    everything = "/branches/b1/preferences"
    assert_problem(await world.http.delete(everything, headers=world.owner("b1")), 403, "role-forbidden")
    operator = world.identity.bearer("operator")
    assert (await world.http.delete(everything, headers=operator)).status_code == 204
    assert [item["branch_id"] for item in (await world.matching("lee"))["items"]] == ["b2"]
    withdrawn = [event["preference_id"] for event in await world.events() if "withdrawn_at" in event]
    assert sorted(withdrawn) == sorted(item["id"] for item in stated)


async def test_the_size_of_the_audience_is_for_the_branch_only(world: World) -> None:
    await world.likes("kim", quiet=0.9)
    stated = await world.state("b1", quiet=0.9)
    for headers, matched in ((world.owner("b1"), 1), (world.customer("lee"), None)):
        (item,) = (await world.http.get("/branches/b1/preferences", headers=headers)).json()["items"]
        assert item == {**stated, "matched": matched}
        one = await world.http.get(f"/branches/b1/preferences/{stated['id']}", headers=headers)
        assert one.json() == item
    other = await world.http.get(f"/branches/b2/preferences/{stated['id']}", headers=world.customer("lee"))
    assert_problem(other, 404, "preference-unknown")


async def test_a_branchs_preferences_come_newest_first_in_pages(world: World) -> None:
    stated = [(await world.state("b1", quiet=0.5))["id"] for _ in range(3)]
    headers = world.owner("b1")
    first = (await world.http.get("/branches/b1/preferences", headers=headers, params={"limit": 2})).json()
    rest = await world.http.get(
        "/branches/b1/preferences", headers=headers, params={"limit": 2, "cursor": first["next_cursor"]}
    )
    ids = [item["id"] for item in first["items"] + rest.json()["items"]]
    assert ids == stated[::-1]
    assert rest.json()["next_cursor"] is None


async def test_the_database_scores_as_the_rule_says(world: World) -> None:
    chance = random.Random(4)
    names = ["quiet", "sauna", "pool", "late", "요가", "parking", "24h", "bar"]

    def some() -> dict[str, Any]:
        return {tag: round(chance.uniform(0.01, 1), 2) for tag in chance.sample(names, chance.randint(1, 8))}

    tastes = {f"customer-{number:03}": some() for number in range(100)}
    await _store(world, tastes)
    for number in range(5):
        offer = some()
        await world.state(f"b{number}", **offer)
        event = (await world.events())[-1] if (await world.events()) else {"matches": []}
        expected = {
            customer: suitability(taste, offer)
            for customer, taste in tastes.items()
            if suitability(taste, offer).score >= 0.4
        }
        assert {match["customer_id"] for match in event["matches"]} == set(expected)
        for match in event["matches"]:
            rule = expected[match["customer_id"]]
            assert match["score"] == pytest.approx(rule.score, abs=1e-4)
            assert match["reasons"] == rule.reasons


async def _store(world: World, tastes: dict[str, dict[str, float]]) -> None:
    async with world.database.transaction() as session:
        await session.execute(
            sa.insert(customers),
            [{"id": customer, "total": sum(tags.values())} for customer, tags in tastes.items()],
        )
        await session.execute(
            sa.insert(customer_tags),
            [
                {"customer_id": customer, "tag": tag, "weight": weight}
                for customer, tags in tastes.items()
                for tag, weight in tags.items()
            ],
        )


async def test_a_large_audience_travels_in_small_messages(world: World) -> None:
    await _store(world, {f"customer-{number:05}": {"quiet": 0.9, "sauna": 0.4} for number in range(5000)})
    stated = await world.state("b1", quiet=0.9, sauna=0.5)
    assert stated["matched"] == 5000
    async with world.database.session() as session:
        rows = (await session.execute(sa.select(outbox.c.body, outbox.c.headers))).all()
    events = sorted((json.loads(body) for body, _ in rows), key=lambda event: event["part"])
    assert all(len(body) + len(json.dumps(headers)) <= MAX_MESSAGE_BYTES for body, headers in rows)
    assert [event["part"] for event in events] == list(range(1, len(events) + 1))
    assert {event["parts"] for event in events} == {len(events)}
    assert len(events) > 3
    told = [match["customer_id"] for event in events for match in event["matches"]]
    assert told == [f"customer-{number:05}" for number in range(5000)]


async def test_a_stream_tells_a_customer_of_what_suits_him(world: World) -> None:
    await world.likes("kim", quiet=0.9)
    headers = world.customer("kim")
    async with (
        asyncio.timeout(60),
        world.http.stream("GET", "/branches/matching/stream", headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")
        # The listener's own connection may be a moment behind the first line of the stream.

        async def keep_stating() -> None:
            while True:
                await world.state("b2", party=1)
                await world.state("b1", quiet=0.8)
                await asyncio.sleep(0.2)

        stating = asyncio.create_task(keep_stating())
        async for line in lines:
            if line.startswith("data: "):
                break
        stating.cancel()
        match = json.loads(line.removeprefix("data: "))
        assert match["branch_id"] == "b1"
        assert match["score"] == pytest.approx(2 * 0.8 / 1.7, abs=1e-6)


async def test_a_preference_is_published(
    make_settings: MakeSettings, world: World, messaging: Messaging
) -> None:
    await world.likes("kim", quiet=0.9)
    stated = await world.state("b1", quiet=0.8)
    async with serving(create_app(make_settings(amqp_url=messaging.amqp_url))):
        message = await messaging.take("preference.created")
    event = PreferenceCreated.model_validate_json(message.body)
    assert event.preference_id == stated["id"]
    assert message.headers["cloudEvents_type"] == "PreferenceCreated"
    assert message.headers["cloudEvents_source"] == "/search"


async def test_it_is_ready_without_the_broker(world: World) -> None:
    answer: httpx.Response = await world.http.get("/readyz")
    assert answer.status_code == 200


async def test_old_matches_are_forgotten(world: World) -> None:
    await world.likes("kim", quiet=0.9)
    old = await world.state("b1", quiet=0.9)
    await world.state("b2", quiet=0.9)
    async with world.database.transaction() as session:
        await session.execute(
            sa.update(preferences)
            .where(preferences.c.id == old["id"])
            .values(created_at=sa.func.now() - timedelta(days=31))
        )
    await forget_old_matches(world.database, timedelta(days=30))
    assert await world.count(matches) == 1
    assert await world.count(preferences) == 2


async def test_who_took_a_taste_back_while_it_was_matched_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in ("kim", "lee"):
        await world.likes(customer, quiet=1)
    match = repository.match_customers

    async def taken_back_meanwhile(*asked: Any, **how: Any) -> int:
        count = await match(*asked, **how)
        path = "/customers/me/preference"
        assert (await world.http.delete(path, headers=world.customer("kim"))).status_code == 204
        return count

    monkeypatch.setattr(repository, "match_customers", taken_back_meanwhile)
    await world.state("b1", quiet=1)
    assert await world.count(matches) == 2
    await forget_old_matches(world.database, timedelta(days=30))
    async with world.database.session() as session:
        assert list(await session.scalars(sa.select(matches.c.customer_id))) == ["lee"]
