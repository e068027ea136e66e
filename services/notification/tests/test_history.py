"""Each user reads and follows what he was told, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from laundry_events import new_id
from laundry_testing.problems import assert_problem
from notification.model import Announcement
from notification.repository import history
from notification.texts import match_texts

from .conftest import World, a_fault

pytestmark = pytest.mark.servers


async def tell(world: World, *users: str, kind: Any = "equipment_fault", branch: str = "b1") -> None:
    texts = match_texts(branch_id=branch, title="제목", text="text", reasons=["quiet"])
    announcement = Announcement(kind, f"test:{new_id()}", new_id(), branch, texts, {})
    async with world.database.transaction() as session:
        await history.add_notifications(session, announcement, users)


async def test_pages_newest_first_without_gap_or_repeat(alone: World) -> None:
    for _ in range(5):
        await tell(alone, "kim", "smith")
    headers = alone.identity.bearer("owner", "b1", sub="kim")
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await alone.http.get("/notifications", headers=headers, params=query)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    ids = [item["id"] for item in seen]
    assert len(ids) == len(set(ids)) == 5
    assert ids == sorted(ids, reverse=True)
    assert set(seen[0]) == {
        *("id", "kind", "title", "body", "branch_id", "event_id", "created_at", "sent_at", "state", "data")
    }
    assert seen[0]["created_at"].endswith("Z")


async def test_an_owner_reads_only_of_branches_in_his_token(alone: World) -> None:
    await tell(alone, "kim", branch="b1")
    await tell(alone, "kim", branch="b2")
    assert [item["branch_id"] for item in await alone.history("owner", "b2", sub="kim")] == ["b2"]
    assert await alone.history("owner", sub="kim") == []


async def test_kinds_belong_to_roles(alone: World) -> None:
    await tell(alone, "kim", kind="equipment_fault")
    await tell(alone, "kim", kind="branch_match")
    (fault,) = await alone.history("owner", "b1", sub="kim")
    assert fault["kind"] == "equipment_fault"
    (match,) = await alone.history("customer", sub="kim", kind="branch_match")
    assert match["kind"] == "branch_match"
    assert match["title"] == "(광고) 취향에 맞는 지점: 제목"
    assert await alone.history("customer", sub="kim", kind="equipment_fault") == []
    headers = {**alone.identity.bearer("customer", sub="kim"), "Accept-Language": "en"}
    (english,) = (await alone.http.get("/notifications", headers=headers)).json()["items"]
    assert english["title"] == "(Ad) A branch for you: 제목"


async def test_bad_queries_are_refused(alone: World) -> None:
    headers = alone.identity.bearer("owner", "b1")
    queries: list[dict[str, Any]] = [{"limit": 0}, {"limit": 101}, {"cursor": "x"}, {"kind": "gossip"}]
    for query in queries:
        answer = await alone.http.get("/notifications", headers=headers, params=query)
        assert_problem(answer, 422, "invalid-request")


@asynccontextmanager
async def following(world: World, role: str, *branches: str, sub: str) -> AsyncIterator[AsyncIterator[Any]]:
    headers = world.identity.bearer(role, *branches, sub=sub)
    async with world.http.stream("GET", "/notifications/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")
        yield _items(lines)


async def _items(lines: AsyncIterator[str]) -> AsyncIterator[Any]:
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_a_stream_tells_of_a_fault_and_of_its_push(world: World) -> None:
    await world.register("owner", "b1", sub="kim")
    async with asyncio.timeout(60), following(world, "owner", "b1", sub="kim") as items:
        fault = a_fault()
        await world.publish(a_fault(branch_id="b2"))
        await world.publish(fault)
        states = set()
        async for item in items:
            assert item["data"]["fault_id"] == fault.fault_id
            states.add(item["state"])
            if "sent" in states:
                break


async def test_a_stream_is_only_ones_own(alone: World) -> None:
    async with asyncio.timeout(60), following(alone, "owner", "b1", sub="kim") as items:
        await tell(alone, *(f"other-{number}" for number in range(200)))
        await tell(alone, "kim", branch="b2")
        await tell(alone, "kim", kind="branch_match")
        await tell(alone, "kim", branch="b1")
        item = await anext(items)
        assert (item["kind"], item["branch_id"]) == ("equipment_fault", "b1")


async def test_readiness_does_not_need_the_broker(alone: World) -> None:
    answer: httpx.Response = await alone.http.get("/readyz")
    assert answer.status_code == 200, answer.text
    assert answer.json()["checks"]["publisher"] == "failed"
