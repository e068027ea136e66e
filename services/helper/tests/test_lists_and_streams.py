"""What is shown, to whom, and how changes arrive."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from helper.app import create_app
from laundry_events.dsn import plain_dsn
from laundry_testing.identity import FileIdentity
from laundry_testing.problems import assert_problem
from laundry_testing.serving import serving

from .conftest import MakeSettings, Service, picture

pytestmark = pytest.mark.servers

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Read server-sent events as they come."""
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_lists_are_paged_newest_first_without_gap_or_repeat(alone: Service) -> None:
    made = [(await alone.upload(picture(colour=n), branch=("b1", "b2")[n % 2])).json() for n in range(7)]
    both = alone.identity.bearer("helper", "b1", "b2")
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (
            await alone.get(
                "/tasks", headers=both, params={"limit": 3} | ({"cursor": cursor} if cursor else {})
            )
        ).json()
        seen += page["items"]
        if cursor is None:
            await alone.upload(picture(colour=99))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [task["id"] for task in seen] == [task["id"] for task in reversed(made)]
    whole = (await alone.get("/tasks", headers=both, params={"limit": 8})).json()
    assert (len(whole["items"]), whole["next_cursor"]) == (8, None)


async def test_lists_are_filtered_and_hold_only_the_callers_branches(alone: Service) -> None:
    in_b1 = (await alone.upload(picture(colour=1))).json()["id"]
    in_b2 = (await alone.upload(picture(colour=2), branch="b2")).json()["id"]

    async def ids(role: str, *branches: str, **params: Any) -> set[str]:
        headers = alone.identity.bearer(role, *branches)
        items = (await alone.get("/tasks", headers=headers, params=params)).json()["items"]
        return {task["id"] for task in items}

    assert await ids("owner", "b1") == {in_b1}
    assert await ids("helper", "b1", "b2") == {in_b1, in_b2}
    assert await ids("helper", "b1", "b2", branch_id="b2") == {in_b2}
    assert await ids("operator") == {in_b1, in_b2}
    assert await ids("owner") == set()
    assert await ids("owner", "b1", status="submitted") == {in_b1}
    assert await ids("owner", "b1", status=["read", "unreadable"]) == set()

    get = alone.get
    assert_problem(await get("/tasks", params={"branch_id": "b2"}), 403, "branch-forbidden")
    assert_problem(await get("/tasks", params={"status": "lost"}), 422, "invalid-request")
    assert_problem(await get("/tasks", params={"limit": 0}), 422, "invalid-request")
    assert_problem(await get("/tasks", params={"cursor": "~"}), 422, "cursor-invalid")
    assert_problem(await get(f"/tasks/{in_b2}"), 403, "branch-forbidden")
    assert_problem(await get(f"/tasks/{in_b2}/photo"), 403, "branch-forbidden")
    assert_problem(await get(f"/tasks/{UNKNOWN}"), 404, "task-not-found")
    assert_problem(await get("/tasks/none"), 404, "task-not-found")
    customer = alone.identity.bearer("customer")
    assert_problem(await get("/tasks", headers=customer), 403, "role-forbidden")
    assert_problem(await get("/tasks", headers={}), 401, "token-missing")
    assert "shirt" in (await get("/labels")).json()["items"]


async def test_a_stream_tells_the_changes_of_the_callers_branches(alone: Service) -> None:
    headers = alone.identity.bearer("owner", "b1")
    async with asyncio.timeout(30), alone.http.stream("GET", "/tasks/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        coming = events(answer)
        assert await anext(coming) == ("ready", {})
        await alone.upload(picture(colour=1), branch="b2")
        mine = (await alone.upload(picture(colour=2))).json()
        assert await anext(coming) == ("task", mine)
    refused = await alone.get("/tasks/stream", headers={})
    assert_problem(refused, 401, "token-missing")


async def test_a_stream_ends_when_the_database_hangs_up(alone: Service, database_url: str) -> None:
    headers = alone.identity.bearer("owner", "b1")
    connection = await asyncpg.connect(plain_dsn(database_url))
    async with asyncio.timeout(30), alone.http.stream("GET", "/tasks/stream", headers=headers) as answer:
        coming = events(answer)
        await anext(coming)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        with pytest.raises(StopAsyncIteration):
            await anext(coming)


async def test_a_stream_ends_in_time_and_when_the_service_stops(
    make_settings: MakeSettings, alone: Service, identity: FileIdentity
) -> None:
    headers = identity.bearer("owner", "b1")
    async with asyncio.timeout(30), serving(create_app(make_settings(stream_max_s=0.2))) as http:
        short = await http.get("/tasks/stream", headers=headers)
        assert "event: ready" in short.text
    app = create_app(make_settings())
    async with (
        asyncio.timeout(30),
        serving(app) as http,
        http.stream("GET", "/tasks/stream", headers=headers) as answer,
    ):
        coming = events(answer)
        await anext(coming)
        app.state.stopping.set()
        with pytest.raises(StopAsyncIteration):
            await anext(coming)
