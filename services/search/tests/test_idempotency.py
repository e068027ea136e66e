"""One Idempotency-Key states one preference."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from search import repository
from search.tables import preferences

from .conftest import WORDS, World

pytestmark = pytest.mark.servers


async def test_the_same_key_states_one_preference(world: World) -> None:
    await world.likes("kim", quiet=0.9)
    answers = await asyncio.gather(*(world.state("b1", key="tap", quiet=0.9) for _ in range(4)))
    assert len({answer["id"] for answer in answers}) == 1
    assert len(await world.events()) == await world.count(preferences) == 1
    await world.state("b1", key="another", quiet=0.9)
    assert await world.count(preferences) == 2


async def test_a_key_that_said_something_else_is_refused_and_keeps_what_it_said(world: World) -> None:
    first = await world.state("b1", key="k-1", quiet=1.0, late=0.5)
    said: dict[str, Any] = {"tags": {"quiet": 1.0, "late": 0.5}, **WORDS}
    for change in (
        {"tags": {"quiet": 0.9, "late": 0.5}},
        {"tags": {"quiet": 1.0}},
        {"title": "Another"},
        {"text": "x"},
    ):
        answer = await world.http.post(
            "/branches/b1/preferences",
            json={**said, **change},
            headers={**world.owner("b1"), "Idempotency-Key": "k-1"},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused"), change
    # The order in which tags are named says nothing.
    assert (await world.state("b1", key="k-1", late=0.5, quiet=1.0))["id"] == first["id"]
    listed = await world.http.get("/branches/b1/preferences", headers=world.owner("b1"))
    assert [each["id"] for each in listed.json()["items"]] == [first["id"]]


async def test_of_requests_at_once_with_one_key_one_is_stated(world: World) -> None:
    async def send(number: int) -> tuple[int, str]:
        body = {"tags": {"quiet": 1.0}, **WORDS, "title": f"No. {number % 2}"}
        headers = {**world.owner("b1"), "Idempotency-Key": "at-once"}
        answer = await world.http.post("/branches/b1/preferences", json=body, headers=headers)
        return answer.status_code, answer.json().get("code", answer.json().get("title"))

    answers = await asyncio.gather(*(send(number) for number in range(8)))
    [stated] = {title for status, title in answers if status == 201}
    assert sorted(status for status, _ in answers) == [200, 200, 200, 201, 422, 422, 422, 422]
    assert {title for status, title in answers if status == 200} == {stated}


@pytest.mark.parametrize("key", ["", "two words", "k" * 201, "é", "a\tb"])
async def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    answer = await world.http.post(
        "/branches/b1/preferences",
        json={"tags": {"quiet": 1.0}, **WORDS},
        headers=[*httpx.Headers(world.owner("b1")).raw, (b"Idempotency-Key", key.encode("latin-1"))],
    )
    assert answer.status_code == 422, answer.text


async def test_a_key_whose_preference_is_withdrawn_just_then_states_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.state("b1", key="tap", quiet=0.9)
    look_up = repository.preference_by_key

    async def withdrawn_before(*asked: Any) -> Any:
        monkeypatch.setattr(repository, "preference_by_key", look_up)
        path = f"/branches/b1/preferences/{first['id']}"
        assert (await world.http.delete(path, headers=world.owner("b1"))).status_code == 204
        return await look_up(*asked)

    monkeypatch.setattr(repository, "preference_by_key", withdrawn_before)
    again = await world.state("b1", key="tap", quiet=0.9)
    assert again["id"] != first["id"]
    assert await world.count(preferences) == 1


async def test_a_commit_without_an_answer_is_not_told_as_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = asyncpg.transaction.Transaction.commit

    async def unanswered(self: Any) -> None:
        await commit(self)
        raise TimeoutError

    with monkeypatch.context() as during:
        during.setattr(asyncpg.transaction.Transaction, "commit", unanswered)
        answer = await world.http.post(
            "/branches/b1/preferences", json={"tags": {"quiet": 1.0}, **WORDS}, headers=world.owner("b1")
        )
    assert answer.status_code == 503
    assert answer.json()["code"] != "matching-too-slow"
    assert await world.count(preferences) == 1
