"""One helper opens endless live streams and reads none; everybody else's page stays live."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from laundry_catalogue import copies_of
from laundry_lab.faults.equipment import break_washer
from laundry_lab.faults.world import Fault, Observation, World

FLOOD = 1000
PER_PERSON = 6 * len(copies_of("helper"))
"""Each process counts for itself, as each pod of a cluster does."""

WASHERS = 5
PROBE_EVERY_S = 0.25
HEARD_S = 15.0
ANSWERED_S = 5.0
OPEN_S = 20.0


@dataclass
class Page:
    """An owner's page: lists when its stream begins and at each reset, and takes each change over it."""

    world: World
    client: httpx.AsyncClient
    known: set[str] = field(default_factory=set)
    live: asyncio.Event = field(default_factory=asyncio.Event)
    resets: int = 0

    @property
    def _headers(self) -> dict[str, str]:
        load = self.world.load
        return self.world.stage.headers("owner", load.branch, subject=f"{load.phone}-page")

    async def follow(self) -> None:
        """Stay live until cancelled."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await self._listen()
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        path = "/api/monitoring/equipment/stream"
        async with self.client.stream("GET", path, headers=self._headers, timeout=60) as answer:
            event = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    await self._take(event, json.loads(line.removeprefix("data: ")))

    async def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "equipment":
            self.known.add(data["id"])
        elif event in ("ready", "reset"):
            self.resets += event == "reset"
            async for machine in self._listed():
                self.known.add(machine["id"])
            self.live.set()

    async def _listed(self) -> AsyncIterator[dict[str, Any]]:
        cursor = None
        while True:
            query = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            answer = await self.client.get("/api/monitoring/equipment", params=query, headers=self._headers)
            body = answer.raise_for_status().json()
            for machine in body["items"]:
                yield machine
            if (cursor := body["next_cursor"]) is None:
                return


@dataclass
class Flood:
    """Connections that ask for a stream, read its head and nothing more."""

    world: World
    statuses: Counter[int] = field(default_factory=Counter)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open_one(self) -> None:
        """Ask for a stream as the one helper."""
        address = urlsplit(self.world.stage.document["web_url"])
        load = self.world.load
        headers = self.world.stage.headers("helper", load.branch, subject=f"{load.phone}-flood")
        request = "".join(
            [
                "GET /api/helper/tasks/stream HTTP/1.1\r\n",
                f"Host: {address.netloc}\r\n",
                *(f"{name}: {value}\r\n" for name, value in headers.items()),
                "\r\n",
            ]
        )
        try:
            async with asyncio.timeout(OPEN_S):
                reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
                self.writers.append(writer)
                writer.write(request.encode())
                head = await reader.readline()
            self.statuses[int(head.split()[1])] += 1
        except (OSError, TimeoutError, IndexError, ValueError):
            self.statuses[0] += 1

    def close(self) -> None:
        """Disconnect from the stream."""
        for writer in self.writers:
            writer.transport.abort()


async def flood(world: World) -> list[Observation]:
    """A thousand streams through web while an honest page listens and others ask."""
    number = FLOOD
    world.load.ledger.said(f"one helper opens {number} streams")
    crowd, asked = Flood(world), Asked()
    async with world.stage.client("web") as client, world.stage.client("monitoring") as monitoring:
        page = Page(world, client)
        following = asyncio.create_task(page.follow())
        probing = asyncio.create_task(asked.again_and_again(world, client))
        try:
            async with asyncio.timeout(OPEN_S):
                await page.live.wait()
            opening = asyncio.gather(*(crowd.open_one() for _ in range(number)))
            washers = {(await break_washer(world.load, monitoring)).equipment_id for _ in range(WASHERS)}
            await opening
            washers |= {(await break_washer(world.load, monitoring)).equipment_id for _ in range(WASHERS)}

            async def heard() -> bool:
                return washers <= page.known

            in_time = await world.eventually(heard, HEARD_S)
        finally:
            for task in (following, probing):
                task.cancel()
            await asyncio.gather(following, probing, return_exceptions=True)
            crowd.close()
    admitted, missing = crowd.statuses[200], washers - page.known
    return [
        Observation(
            f"{admitted} of {number} streams of one person were let in; answers {dict(crowd.statuses)}",
            0 < admitted <= PER_PERSON and admitted + crowd.statuses[429] == number,
        ),
        Observation(f"the honest page heard of {len(washers) - len(missing)} of {len(washers)}", in_time),
        Observation(
            f"{asked.answered} requests of others were answered, the slowest in {asked.slowest_s:.2f} s,"
            f" {asked.failed} were not",
            asked.answered > 0 and not asked.failed and asked.slowest_s <= ANSWERED_S,
        ),
    ]


@dataclass
class Asked:
    """What became of ordinary requests."""

    answered: int = 0
    failed: int = 0
    slowest_s: float = 0.0

    async def again_and_again(self, world: World, client: httpx.AsyncClient) -> None:
        """Ask for a list of tasks until cancelled."""
        headers = world.stage.headers("helper", world.load.branch)
        while True:
            began = time.monotonic()
            try:
                answer = await client.get("/api/helper/tasks?limit=1", headers=headers, timeout=30)
                good = answer.status_code == 200
            except httpx.HTTPError:
                good = False
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.answered += good
            self.failed += not good
            await asyncio.sleep(PROBE_EVERY_S)


FAULTS = (
    Fault(
        "stream-flood",
        "streams",
        "six are let in; each change still reaches an honest page and others are answered",
        flood,
    ),
)
