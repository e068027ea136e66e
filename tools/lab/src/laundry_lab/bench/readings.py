"""Readings per second by the running AI consumers, from each task's ``read_at``."""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from laundry.demo.client import consumed
from laundry_lab.bench import alerts, bare_clients, bare_reading
from laundry_lab.bench.bare_reading import Bare
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import LARGE, PHONE, SMALL, Pictures, multipart
from laundry_lab.bench.stage import NotMeasured, Stage, suspended
from laundry_lab.sender import Sender, sender_to

PHOTOS = 600
LANES = 8
# Paused consumers send no heartbeats; the broker drops them after 20 s.
FILL_S = 12.0
OUTBOX_S = 3.0
READ_DEADLINE_S = 120.0
# Some batches are read in two or three seconds; a sample costs half a millisecond per replica.
LOOK_EVERY_S = 1.0
REPLICA_MB = 250
CONSUMER = "ai-consumer"
QUEUE = "task.submitted"
READINGS = "task.read"
# Prefetch of each consumer (LAUNDRY_PREFETCH of the AI consumer).
PREFETCH = 8
GROUP = f"AI readings, {PHONE.name} photos"


@dataclass(frozen=True)
class Run:
    """Results of one batch of photos.

    Attributes:
        replica_ms, others_ms: processor time of a reading in the replicas, and in every other process.
        largest_mb: the largest replica's share of memory (PSS) seen while they read.
    """

    rate: float
    filled: int
    read: int
    seconds: float
    replica_ms: float
    others_ms: float
    largest_mb: float
    held: int
    pushes: list[float]


async def measure(stage: Stage) -> list[Figure]:
    """Measure three replicas on photos of three sizes, each beside its ceiling, and fewer replicas on one."""
    names = _replicas(stage)
    found = await _phone_photos(stage, names)
    for kind, photos in ((SMALL, 600), (LARGE, 150)):
        pictures = await asyncio.to_thread(Pictures, kind)
        floor = await _floor(stage, pictures, len(names), photos)
        run = await crowd(stage, pictures, photos, replicas=names)
        found += _figures(f"AI readings, {kind.name} photos", names, run, floor)
    pictures = await asyncio.to_thread(Pictures)
    growth = f"AI readings by replicas, {PHONE.name} photos"
    for count in range(1, len(names)):
        run = await crowd(stage, pictures, PHOTOS // 3, replicas=names[:count])
        some = f"{count} of {len(names)} replicas"
        found += [
            Figure(growth, some, run.rate, "/s"),
            Figure(growth, f"{some}: largest replica (PSS)", run.largest_mb, "MB", REPLICA_MB),
        ]
    return found


async def phone_photos(stage: Stage) -> list[Figure]:
    """Measure what DD-02 asks: photos of 500 KB, all replicas."""
    names = _replicas(stage)
    run = await crowd(stage, await asyncio.to_thread(Pictures), PHOTOS, replicas=names)
    return _asked(GROUP, names, run, target=True)


async def ceiling(stage: Stage) -> float | None:
    """Measure what bare clients read a second of the same photos, if it can be measured here."""
    pictures = await asyncio.to_thread(Pictures)
    return (await _floor(stage, pictures, len(_replicas(stage)), PHOTOS)).clients_rate


def _replicas(stage: Stage) -> list[str]:
    names = sorted(name for name in stage.document["pids"] if name.startswith(CONSUMER))
    if not names:
        raise NotMeasured("readings: no AI consumer runs")
    return names


async def _phone_photos(stage: Stage, names: Sequence[str]) -> list[Figure]:
    """The same beside its floor, and once more while pushes are timed."""
    pictures = await asyncio.to_thread(Pictures)
    floor = await _floor(stage, pictures, len(names), PHOTOS)
    run = await crowd(stage, pictures, PHOTOS, replicas=names)
    found = _figures(GROUP, names, run, floor, target=True)
    run = await crowd(stage, pictures, PHOTOS, replicas=names, faults=True)
    return [
        *found,
        Figure(GROUP, f"{len(names)} replicas while faults are pushed", run.rate, "/s"),
        *alerts.figures(f"Fault → push, {run.held} photos waiting", run.pushes, p99_ms=1000),
    ]


@dataclass(frozen=True)
class Floor:
    """What reading costs at least: alone, and readings a second with bare clients of broker and database,
    if a database of the measurement's own can be made.
    """

    bare: Bare
    clients_rate: float | None


async def _floor(stage: Stage, pictures: Pictures, readers: int, photos: int) -> Floor:
    bare = await bare_reading.measure(stage, pictures, readers)
    try:
        return Floor(bare, await bare_clients.measure(stage, pictures, readers, photos))
    except NotMeasured:
        return Floor(bare, None)


def _figures(
    group: str, names: Sequence[str], run: Run, floor: Floor, *, target: bool = False
) -> list[Figure]:
    bare = floor.bare
    rest = run.replica_ms - bare.processor_ms
    return [
        *_asked(group, names, run, target=target),
        Figure(
            group, "bare loop", bare.rate, "/s", note="fetch, decode, model in as many processes, no broker"
        ),
        Figure(group, "ours ÷ bare", run.rate / bare.rate, "×", 0.8 if target else None, at_most=False),
        *_beside_clients(group, run, floor, target=target),
        *(Figure(group, f"processor: {name}", spent, "ms") for name, spent in bare.stages_ms.items()),
        Figure(group, "processor: messages and the rest of a replica", rest, "ms"),
        Figure(
            group,
            "processor: all other processes",
            run.others_ms,
            "ms",
            note="broker, helper, database, store",
        ),
        Figure(group, "largest replica (PSS)", run.largest_mb, "MB", REPLICA_MB),
    ]


def _asked(group: str, names: Sequence[str], run: Run, *, target: bool) -> list[Figure]:
    note = f"{run.read} of {run.filled} photos in {run.seconds:.1f} s"
    asked = 60 if target else None
    return [
        Figure(group, f"{len(names)} replicas", run.rate, "/s", asked, at_most=False, note=note),
        Figure(group, "not read", run.filled - run.read, "", 0),
    ]


def _beside_clients(group: str, run: Run, floor: Floor, *, target: bool) -> list[Figure]:
    if floor.clients_rate is None:
        return []
    note = "the loop told by bare aiormq, telling asyncpg: no retry, inbox, trace"
    asked = 0.95 if target else None
    return [
        Figure(group, "bare clients", floor.clients_rate, "/s", note=note),
        Figure(group, "bare clients ÷ bare", floor.clients_rate / floor.bare.rate, "×"),
        Figure(group, "ours ÷ bare clients", run.rate / floor.clients_rate, "×", asked, at_most=False),
    ]


async def crowd(
    stage: Stage, pictures: Pictures, photos: int, *, replicas: Sequence[str], faults: bool = False
) -> Run:
    """Fill the queue while the consumers stand still, let some of them go, see when each task was read."""
    if not await stage.until_empty(QUEUE, within_s=READ_DEADLINE_S):
        raise NotMeasured(f"readings: {QUEUE} did not become empty within {READ_DEADLINE_S:.0f} s")
    pids = {name: pid for name, pid in stage.document["pids"].items() if name.startswith(CONSUMER)}
    idle = [pid for name, pid in pids.items() if name not in replicas]
    branch, pushes = stage.branch(f"read-{secrets.token_hex(3)}"), []
    async with stage.client("helper") as client, suspended(idle):
        async with suspended([pids[name] for name in replicas]):
            filled = await _fill(stage, pictures, photos, branch)
            held = await _held(stage, filled)
            # Before they go on: else the first readings would count as earlier ones.
            before = await _stored(stage, client)
            used, all_used = stage.processor_s(CONSUMER), stage.processor_s("")
            began = datetime.now(UTC)
        # What the suspended replicas had prefetched is read later, and not counted.
        expected = filled - PREFETCH * len(idle)
        reading = asyncio.create_task(_wait_read(stage, client, expected, branch, before))
        memory = asyncio.create_task(
            largest_until(reading, lambda: max(stage.memory_mb(name) for name in replicas))
        )
        try:
            if faults:
                pushes = await alerts.times(stage, "fault → push while photos are read")
        finally:
            times, largest_mb = await asyncio.gather(reading, memory)
            read = sorted(times)[:expected]
    if not read:
        raise NotMeasured("readings: nothing was read")
    seconds = (read[-1] - began).total_seconds()
    own = stage.processor_s(CONSUMER) - used
    others = stage.processor_s("") - all_used - own
    return Run(
        len(read) / seconds,
        expected,
        len(read),
        seconds,
        1000 * own / len(read),
        1000 * others / len(read),
        largest_mb,
        held,
        pushes,
    )


async def largest_until(
    done: asyncio.Future[Any], look: Callable[[], float], *, every_s: float = LOOK_EVERY_S
) -> float:
    """Sample now and then periodically until something is done; returns the largest sample."""
    largest = -math.inf
    while True:
        # In a thread, since the kernel counts pages as long as it takes.
        largest = max(largest, await asyncio.to_thread(look))
        await asyncio.wait([done], timeout=every_s)
        if done.done():
            return largest


async def _fill(stage: Stage, pictures: Pictures, photos: int, branch: str) -> int:
    """Upload as fast as the helper takes it. Returns how many it took."""
    number, taken = stage.many(photos, least=30), 0
    headers = stage.headers("helper", branch)
    advance = stage.say("filling the queue", number)
    left = iter(range(number))
    until = time.monotonic() + FILL_S

    async def lane(sender: Sender) -> None:
        nonlocal taken
        for _ in left:
            if time.monotonic() > until:
                return
            body, content_type = multipart(pictures.photo(), branch)
            answer = await sender.post("/tasks", body, {**headers, "Content-Type": content_type})
            taken += answer.status == 201
            advance(1)

    async with sender_to(stage.document["helper_url"]) as sender:
        await asyncio.gather(*(lane(sender) for _ in range(LANES)))
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


async def _stored(stage: Stage, client: httpx.AsyncClient) -> float:
    """Return how many readings were stored so far."""
    return sum([await consumed(client, url, READINGS) for url in stage.metrics_urls("helper")])


async def _wait_read(
    stage: Stage, client: httpx.AsyncClient, number: int, branch: str, before: float
) -> list[datetime]:
    """Wait until every task of this run is read; returns when each was.

    The helper counts what it takes, ``before`` of it earlier. Listing the tasks all the while would be work
    that no reading needs.
    """
    advance = stage.say("reading", number)
    deadline, shown = time.monotonic() + READ_DEADLINE_S, 0
    while True:
        done = min(number, int(await _stored(stage, client) - before))
        advance(max(0, done - shown))
        shown = max(done, shown)
        late = time.monotonic() > deadline
        if done >= number or late:
            read = list((await read_times(stage, client, branch)).values())
            if len(read) >= number or late:
                return read
        await asyncio.sleep(0.5)


async def read_times(stage: Stage, client: httpx.AsyncClient, branch: str) -> dict[str, datetime]:
    """Return when each task of a branch was read, by its id, of those that were."""
    headers = stage.headers("operator")
    found: dict[str, datetime] = {}
    query: dict[str, Any] = {"branch_id": branch, "limit": 200, "status": ["read", "unreadable"]}
    while True:
        answer = await client.get("/tasks", params=query, headers=headers)
        answer.raise_for_status()
        page = answer.json()
        for task in page["items"]:
            if task["reading"]:
                found[task["id"]] = datetime.fromisoformat(task["reading"]["read_at"])
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]
