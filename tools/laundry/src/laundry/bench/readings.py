"""Readings a second by the AI consumers that run, taken from when each task was read."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx

from laundry.bench import alerts, bare_reading
from laundry.bench.figures import Figure
from laundry.bench.pictures import Pictures, multipart
from laundry.bench.stage import NotMeasured, Stage

PHOTOS = 600
LANES = 8
# Stopped consumers send no heartbeats; after 20 s the broker would give them up.
FILL_S = 12.0
OUTBOX_S = 3.0
READ_DEADLINE_S = 120.0
CONSUMER = "ai-consumer"
QUEUE = "task.submitted"
GROUP = "AI readings"


async def measure(stage: Stage) -> list[Figure]:
    """Fill the queue while the consumers are stopped, let them go, and see when each task was read."""
    if not await stage.until_empty(QUEUE, within_s=READ_DEADLINE_S):
        raise NotMeasured(f"readings: {QUEUE} did not become empty within {READ_DEADLINE_S:.0f} s")
    pictures = await asyncio.to_thread(Pictures)
    bare = await bare_reading.measure(stage, pictures)
    consumers = {name: pid for name, pid in stage.document["pids"].items() if name.startswith(CONSUMER)}
    if not consumers:
        raise NotMeasured("readings: no AI consumer runs")
    async with stage.client("helper") as client:
        async with _stopped(list(consumers.values())):
            filled = await _fill(stage, client, pictures)
            held = await _held(stage, filled)
        began, used = datetime.now(UTC), stage.processor_s(CONSUMER)
        reading = asyncio.create_task(_wait_read(stage, client, filled))
        try:
            pushes = await alerts.times(stage, "fault → push while photos are read")
        finally:
            read = await reading
    if not read:
        raise NotMeasured("readings: nothing was read")
    seconds = (max(read) - began).total_seconds()
    rate = len(read) / seconds
    each_ms = 1000 * (stage.processor_s(CONSUMER) - used) / len(read)
    return [
        Figure(
            GROUP,
            f"{len(consumers)} replicas",
            rate,
            "/s",
            60,
            at_most=False,
            note=f"{len(read)} of {filled} photos in {seconds:.1f} s, faults pushed meanwhile",
        ),
        Figure(
            GROUP, "bare decode + model", bare.rate, "/s", note="a process for each core, no broker, no S3"
        ),
        Figure(GROUP, "ours ÷ bare", rate / bare.rate, "×", 0.8, at_most=False),
        Figure(GROUP, "processor time of a reading", each_ms, "ms", note="all of the replicas"),
        Figure(GROUP, "processor time of a bare one", bare.processor_ms, "ms"),
        Figure(GROUP, "not read", filled - len(read), "", 0),
        *alerts.figures(f"Fault → push, {held} photos waiting", pushes, p99_ms=1000),
    ]


@asynccontextmanager
async def _stopped(pids: list[int]) -> AsyncIterator[None]:
    """Hold processes still, and let them go whatever happens."""
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        # One that ended is being started again, with another id.
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def _fill(stage: Stage, client: httpx.AsyncClient, pictures: Pictures) -> int:
    """Upload as fast as the helper takes it. Returns how many it took."""
    number, taken = stage.many(PHOTOS, least=30), 0
    branch = stage.branch("read")
    headers = stage.headers("helper", branch)
    advance = stage.say("filling the queue", number)
    left = iter(range(number))
    until = time.monotonic() + FILL_S

    async def lane() -> None:
        nonlocal taken
        for _ in left:
            if time.monotonic() > until:
                return
            body, content_type = multipart(pictures.photo(), branch)
            answer = await client.post(
                "/tasks", content=body, headers={**headers, "Content-Type": content_type}
            )
            taken += answer.status_code == 201
            advance(1)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    if not taken:
        raise NotMeasured("readings: the helper took no photo")
    return taken


async def _held(stage: Stage, number: int) -> int:
    """Return what waits in the queue once the helper's outbox has brought everything there."""
    deadline = time.monotonic() + OUTBOX_S
    while True:
        held = await stage.waiting(QUEUE)
        if held >= number or time.monotonic() > deadline:
            return held
        await asyncio.sleep(0.1)


async def _wait_read(stage: Stage, client: httpx.AsyncClient, number: int) -> list[datetime]:
    """Wait until every task of this run is read; returns when each was."""
    advance = stage.say("reading", number)
    deadline, shown = time.monotonic() + READ_DEADLINE_S, 0
    while True:
        read = await read_times(stage, client, stage.branch("read"))
        advance(len(read) - shown)
        shown = len(read)
        if len(read) >= number or time.monotonic() > deadline:
            return read
        await asyncio.sleep(1.0)


async def read_times(stage: Stage, client: httpx.AsyncClient, branch: str) -> list[datetime]:
    """Return when each task of a branch was read, of those that were."""
    headers = stage.headers("operator")
    found: list[datetime] = []
    query: dict[str, Any] = {"branch_id": branch, "limit": 200, "status": ["read", "unreadable"]}
    while True:
        answer = await client.get("/tasks", params=query, headers=headers)
        answer.raise_for_status()
        page = answer.json()
        found += [
            datetime.fromisoformat(task["reading"]["read_at"]) for task in page["items"] if task["reading"]
        ]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]
