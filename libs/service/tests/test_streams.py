"""A stream over HTTP: each change arrives or the listener is told to fetch, within limits, until its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request

from laundry_service.app import make_app
from laundry_service.auth.callers import Caller
from laundry_service.settings import ServiceSettings
from laundry_service.streams import response
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import EVENT_STREAM, EventStream
from laundry_service.streams.subscription import RESET, Change, Subscription
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving

from .streaming import Machines

pytestmark = pytest.mark.servers
PATIENCE_S = 20.0


@pytest_asyncio.fixture
async def machines(database_url: str) -> AsyncIterator[Machines]:
    made = Machines(database_url)
    await made.open()
    yield made
    await made.close()


class World:
    """A service with one stream."""

    def __init__(self, http: httpx.AsyncClient, app: FastAPI, identity: FileIdentity) -> None:
        self.http = http
        self.app = app
        self.identity = identity

    @asynccontextmanager
    async def stream(self, *branches: str, sub: str = "kim", seconds: int = 600) -> AsyncIterator[Any]:
        token = self.identity.local.mint(role="owner", branches=branches, subject=sub, seconds=seconds)
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.stream("GET", "/stream", headers=headers, timeout=PATIENCE_S) as answer:
            yield answer


@asynccontextmanager
async def world_of(
    machines: Machines, database_url: str, identity: FileIdentity, **limits: Any
) -> AsyncIterator[World]:
    settings = ServiceSettings(
        service_name="machines",
        amqp_url="amqp://nobody@127.0.0.1:9/",
        jwks_url=identity.jwks_url,
        jwt_issuer=identity.issuer,
        **limits,
    )
    changes = Changes(database_url, "machines", machines.look_up)
    app = make_app(settings, title="Machines", version="0", description="", background=[changes])

    @app.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(request: Request, caller: Caller) -> EventStream:
        return EventStream(request.app.state.streams, changes, caller, topics=caller.branches)

    async with serving(app) as http:
        yield World(http, app, identity)


@pytest_asyncio.fixture
async def world(machines: Machines, database_url: str, identity: FileIdentity) -> AsyncIterator[World]:
    async with world_of(machines, database_url, identity) as made:
        yield made


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    event = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield event, json.loads(line.removeprefix("data: "))


async def test_a_burst_arrives_whole_or_with_a_word_that_it_does_not(
    world: World, machines: Machines
) -> None:
    many = 2000
    async with asyncio.timeout(60), world.stream("b1") as answer:
        coming = events(answer)
        assert await anext(coming) == ("ready", {})
        await machines.put(range(many), "b1", 1)
        await machines.put([many], "b1", 2)
        heard: set[int] = set()
        was_reset = False
        async for event, data in coming:
            was_reset = was_reset or event == "reset"
            if event == "machine":
                heard.add(data[1])
            # What comes after the burst is told, whatever became of the burst.
            if many in heard or (was_reset and event == "reset" and len(heard) >= many):
                break
        assert was_reset or heard == set(range(many + 1))


async def test_one_query_answers_for_all_who_listen(world: World, machines: Machines) -> None:
    listeners = 12
    async with asyncio.timeout(60):
        open_streams = [world.stream("b1", sub=f"owner-{number}") for number in range(listeners)]
        answers = [await stream.__aenter__() for stream in open_streams]
        coming = [events(answer) for answer in answers]
        for one in coming:
            assert await anext(one) == ("ready", {})
        before = machines.look_ups
        await machines.put([1], "b1", 5)
        for one in coming:
            assert await anext(one) == ("machine", ["b1", 1, 5])
        assert machines.look_ups == before + 1
        for stream in open_streams:
            await stream.__aexit__(None, None, None)


async def test_nobody_hears_of_another_branch(world: World, machines: Machines) -> None:
    async with asyncio.timeout(60), world.stream("b1") as answer:
        coming = events(answer)
        await anext(coming)
        await machines.put([1], "b2", 1)
        await machines.put([2], "b1", 2)
        assert await anext(coming) == ("machine", ["b1", 2, 2])
        await machines.put([2], "b2", 3)
        assert await anext(coming) == ("gone", ["b1", 2])


@pytest.mark.parametrize(
    ("limits", "subs", "limit"),
    [
        ({"streams_per_person": 2}, ["kim"] * 3, "person"),
        ({"streams_per_branch": 2}, ["kim", "lee", "park"], "branch"),
        ({"streams_at_most": 2}, ["kim", "lee", "park"], "process"),
    ],
)
async def test_one_more_stream_than_may_be_is_refused_and_one_that_ends_makes_room(
    machines: Machines,
    database_url: str,
    identity: FileIdentity,
    limits: dict[str, int],
    subs: list[str],
    limit: str,
) -> None:
    async with asyncio.timeout(60), world_of(machines, database_url, identity, **limits) as world:
        async with world.stream("b1", sub=subs[0]), world.stream("b1", sub=subs[1]):
            async with world.stream("b1", sub=subs[2]) as refused:
                await refused.aread()
            assert refused.status_code == 429
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) > 0
            assert (refused.json()["code"], refused.json()["limit"]) == ("too-many-streams", limit)

        async def admitted() -> bool:
            async with world.stream("b1", sub=subs[2]) as answer:
                return bool(answer.status_code == 200)

        await eventually(admitted, what="a seat")


async def test_a_stream_ends_with_its_token(world: World, machines: Machines) -> None:
    async with asyncio.timeout(60), world.stream("b1", seconds=5) as answer:
        coming = events(answer)
        await anext(coming)
        assert [event async for event in coming] == []


async def test_a_stream_ends_when_its_caller_is_no_longer_welcome(
    world: World, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        asyncio.timeout(60),
        world.stream("b1", sub="kim") as kims,
        world.stream("b1", sub="lee") as lees,
    ):
        kim, lee = events(kims), events(lees)
        await anext(kim)
        await anext(lee)
        authenticator = world.app.state.authenticator
        monkeypatch.setattr(authenticator, "allows", lambda principal: principal.sub != "kim")
        assert [event async for event in kim] == []
        await machines.put([1], "b1", 1)
        assert await anext(lee) == ("machine", ["b1", 1, 1])


async def test_who_does_not_read_is_ended_and_costs_nobody(
    world: World, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "SEND_S", 1.0)
    token = world.identity.local.mint(role="owner", branches=["b1"], subject="deaf")
    address = world.http.base_url
    _, writer = await asyncio.open_connection(address.host, address.port, limit=1)
    writer.write(f"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    stuffing = Change("stuffing", "b1", lambda _: b": " + b"x" * 4_000_000 + b"\n\n")
    streams = world.app.state.streams
    async with asyncio.timeout(60), world.stream("b1", sub="honest") as answer:
        coming = events(answer)
        await anext(coming)

        def deaf() -> list[Subscription]:
            return [one for one, who in streams._open.items() if who.sub == "deaf"]

        await eventually(deaf, what="the stream that nobody reads")
        while (left := deaf()) and left[0].ended is None:
            left[0].offer(stuffing)
            await asyncio.sleep(0.05)
        await machines.put([1], "b1", 7)
        assert await anext(coming) == ("machine", ["b1", 1, 7])
        await eventually(lambda: not deaf(), what="its end")
    writer.close()


async def test_a_service_that_does_not_hear_its_database_says_so(identity: FileIdentity) -> None:
    away = "postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none"
    async with asyncio.timeout(60), world_of(Machines(away), away, identity) as world:
        async with world.stream("b1") as refused:
            await refused.aread()
        assert (refused.status_code, refused.json()["code"]) == (503, "stream-unavailable")


async def test_more_changes_than_can_be_read_are_told_as_a_reset(world: World, machines: Machines) -> None:
    machines.failures = 3
    async with asyncio.timeout(60), world.stream("b1") as answer:
        coming = events(answer)
        await anext(coming)
        await machines.put([1], "b1", 1)
        assert await anext(coming) == ("reset", {})


async def test_what_waits_is_the_newest_state_of_each_and_bounded() -> None:
    subscription = Subscription(None, at_most=3)
    for number in (1, 2, 1):
        subscription.offer(Change(number, None, lambda _, n=number: b"%d" % n))  # type: ignore[misc]
    assert await subscription.take() == b"21"
    for number in range(5):
        subscription.offer(Change(number, None, lambda _: b"lost"))
    assert await subscription.take() == RESET
    subscription.offer(Change("after", None, lambda _: b"after"))
    assert await subscription.take() == b"after"
    subscription.offer(Change("late", None, lambda _: b"late"))
    subscription.end("time")
    assert await subscription.take() is None
