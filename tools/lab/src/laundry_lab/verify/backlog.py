"""With ten thousand tasks waiting, faults still reach owners and killed consumers lose nothing."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
import httpx

from laundry.demo.photos import unique
from laundry.stack import state
from laundry_lab.bench import alerts
from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.report import percentile
from laundry_lab.sender import Sender, sender_to
from laundry_lab.verify import previews
from laundry_lab.verify.outcomes import Outcome, Verification

QUEUE, CONSUMER = "task.submitted", "ai-consumer"
WAITING = 10_000
# What the readers take while faults are reported: the queue still holds 10,000 at the last one.
MARGIN = 6_000
FAULTS = 100
LANES = 16
FILL_S, SETTLE_S, DRAIN_S = 400.0, 60.0, 900.0
BETWEEN_KILLS_S = 4.0
KILL_CLAUSE = "Consumers killed and restarted"


async def check(stage: Stage, found: Verification) -> None:
    """Fill the queue while the readers stand still, let them go, report faults, kill every reader once."""
    waiting = stage.many(WAITING, least=100)
    number = waiting + stage.many(MARGIN, least=50)
    branch, began = stage.branch("backlog"), time.monotonic()
    if not await stage.until_empty(QUEUE, within_s=SETTLE_S):
        raise NotMeasured(f"{QUEUE} did not become empty within {SETTLE_S:.0f} s")
    dead_before = await _dead(stage)
    async with stage.client("helper") as client, _watched(stage, found, began):
        async with _standing_still(stage):
            accepted = await _fill(stage, branch, number)
            await _until_waiting(stage, len(accepted))
        found.series.marks.append((time.monotonic() - began, "readers go on"))
        previewed = await previews.times(stage, client, branch)
        pushes = await alerts.times(stage, "fault → push", faults=FAULTS)
        held = await _ready(stage)
        found.series.push_s = pushes
        killed = await _kill_each(stage, found, began)
        drained_from = time.monotonic()
        drained = await _until_empty(stage, held)
        seconds = time.monotonic() - drained_from
        read, wrong = await _look(stage, client, branch, accepted)
    dead = await _dead(stage) - dead_before
    note = f"{len(pushes)} faults; {held:,} tasks still waiting at the last one"
    if not drained:
        # They are not read, but nobody knows yet that they are lost.
        found.failures.append(f"backlog: tasks still wait in {QUEUE}: what is lost was not measured")
    if held < waiting:
        raise NotMeasured(f"only {held:,} of {waiting:,} tasks were waiting at the last fault")
    push_clause = f"Fault → push, {waiting:,} tasks waiting"
    found.outcomes += [
        Outcome(push_clause, "slowest", max(pushes), "s", 15, note=note),
        Outcome(push_clause, "mean", sum(pushes) / len(pushes), "s", 3),
        Outcome(push_clause, "p99", percentile(pushes, 0.99), "s", 15, 1),
        Outcome(
            f"Preview, {waiting:,} tasks waiting",
            "p95",
            percentile(previewed, 0.95),
            "s",
            2,
            0.3,
            note=f"{len(previewed)} photos of 20 KB, POST to the answer",
        ),
        Outcome(
            KILL_CLAUSE,
            "read of those accepted",
            100 * read / len(accepted),
            "%",
            100,
            at_most=False,
            note=f"{len(accepted):,} accepted; {killed} consumers killed with -9 while they read; the rest "
            f"{'drained' if drained else 'not drained'} in {seconds:.0f} s",
        ),
        *lost_of(len(accepted), read, wrong, drained=drained),
        Outcome(KILL_CLAUSE, "dead letters", dead, "", 0),
    ]


def lost_of(accepted: int, read: int, wrong: int, *, drained: bool) -> list[Outcome]:
    """Return how many are lost or not read once; nothing where some still wait."""
    return [Outcome(KILL_CLAUSE, "lost or not read once", accepted - read + wrong, "", 0)] if drained else []


@asynccontextmanager
async def _standing_still(stage: Stage) -> AsyncIterator[None]:
    """Pause the readers (SIGSTOP) for the duration of the block."""

    def tell(number: signal.Signals) -> None:
        for name, pid in state.running_stack(stage.paths)["pids"].items():
            if name.startswith(CONSUMER):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    try:
        tell(signal.SIGSTOP)
        yield
    finally:
        tell(signal.SIGCONT)


@asynccontextmanager
async def _watched(stage: Stage, found: Verification, began: float) -> AsyncIterator[None]:
    """Record the queue's length every second while the block runs."""

    async def note() -> None:
        while True:
            with suppress(httpx.HTTPError, OSError):
                found.series.backlog.append((time.monotonic() - began, await stage.waiting(QUEUE)))
            await asyncio.sleep(1)

    noting = asyncio.create_task(note())
    try:
        yield
    finally:
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting


async def _fill(stage: Stage, branch: str, number: int) -> set[str]:
    """Upload photos; returns the ids of the tasks that were accepted."""
    drawn = await asyncio.to_thread(small_photos)
    headers = stage.headers("helper", branch)
    advance = stage.say("filling the queue", number)
    accepted: set[str] = set()
    left = iter(range(number))
    until = time.monotonic() + FILL_S

    async def lane(sender: Sender) -> None:
        for turn in left:
            if time.monotonic() > until:
                return
            body, content_type = multipart(unique(drawn[turn % len(drawn)]), branch)
            answer = await sender.post("/tasks", body, {**headers, "Content-Type": content_type})
            if answer.status != 201:
                raise NotMeasured(f"an upload was answered {answer.status}: {answer.text[:200]}")
            accepted.add(answer.json()["id"])
            advance(1)

    async with sender_to(stage.document["helper_url"]) as sender, asyncio.TaskGroup() as lanes:
        for _ in range(LANES):
            lanes.create_task(lane(sender))
    return accepted


async def _ready(stage: Stage) -> int:
    """Return how many tasks no reader has taken, this moment: the management API is seconds behind."""
    async with (
        asyncio.timeout(SETTLE_S),
        await aio_pika.connect(stage.document["amqp_urls"][0]) as connection,
        connection.channel() as channel,
    ):
        queue = await channel.declare_queue(QUEUE, passive=True)
        return int(queue.declaration_result.message_count or 0)


async def _until_waiting(stage: Stage, number: int) -> None:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        if await stage.waiting(QUEUE) >= number:
            return
        await asyncio.sleep(0.5)


async def _kill_each(stage: Stage, found: Verification, began: float) -> int:
    names = [name for name in state.running_stack(stage.paths)["pids"] if name.startswith(CONSUMER)]
    for name in names:
        os.kill(state.running_stack(stage.paths)["pids"][name], signal.SIGKILL)
        found.series.marks.append((time.monotonic() - began, f"kill -9 {name}"))
        await asyncio.sleep(BETWEEN_KILLS_S)
    return len(names)


async def _until_empty(stage: Stage, held: int) -> bool:
    advance, shown = stage.say("draining", held), held
    deadline = time.monotonic() + DRAIN_S
    while (now := await stage.waiting(QUEUE)) > 0:
        if time.monotonic() > deadline:
            return False
        advance(shown - now)
        shown = now
        await asyncio.sleep(0.5)
    advance(shown)
    return True


async def _look(stage: Stage, client: httpx.AsyncClient, branch: str, accepted: set[str]) -> tuple[int, int]:
    """Wait until every reading has come back. Returns how many were read, and how many tasks are not as they
    should be: unknown, or without exactly one reading.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        tasks = await _tasks(stage, client, branch)
        read = [each["id"] for each in tasks if each["status"] == "read" and each["reading"]]
        strange = len(set(read) - accepted) + len(read) - len(set(read))
        if len(accepted & set(read)) == len(accepted) or time.monotonic() > deadline:
            return len(accepted & set(read)), strange
        await asyncio.sleep(1)


async def _tasks(stage: Stage, client: httpx.AsyncClient, branch: str) -> list[dict[str, Any]]:
    headers = stage.headers("operator")
    query: dict[str, Any] = {"branch_id": branch, "limit": 200}
    tasks: list[dict[str, Any]] = []
    while True:
        answer = await client.get("/tasks", params=query, headers=headers)
        answer.raise_for_status()
        page = answer.json()
        tasks += page["items"]
        if page["next_cursor"] is None:
            return tasks
        query["cursor"] = page["next_cursor"]


async def _dead(stage: Stage) -> int:
    return await stage.waiting("task.submitted.dlq") + await stage.waiting("task.read.dlq")
