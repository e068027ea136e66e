"""``POST /tasks`` at a steady rate, compared with its floor: one S3 PUT and one commit."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from laundry_events.dsn import plain_dsn
from laundry_lab.bench.bare_reading import boto_client
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import BYTES, Pictures, multipart
from laundry_lab.bench.stage import NotMeasured, Stage, suspended
from laundry_lab.report import percentile
from laundry_lab.sender import Sender, sender_to

RATE = 60
SECONDS = 20
# At any scale: the broker gives up who stands still for 20 s.
STILL_SECONDS = 14
FLOOR_AFTER = 4
"""So many uploads: often enough for its percentiles, and little more for the machine to do."""

READER = "ai-consumer"
THREADS = 16
GRACE_S = 30.0
TABLE = "bench_floor"
GROUP = f"POST /tasks, {BYTES // 1000} KB, {RATE}/s"

Once = Callable[[], Coroutine[Any, Any, None]]


async def measure(stage: Stage) -> list[Figure]:
    """Measure uploads, and their floor in between, from one process: both meet the same other work.

    First as the stack runs here, then while the readers stand still: where they have cores of their own, they
    take none of an upload's.
    """
    pictures = await asyncio.to_thread(Pictures)
    readers = [pid for name, pid in stage.document["pids"].items() if name.startswith(READER)]
    async with sender_to(stage.document["helper_url"]) as sender, _Floor(stage, pictures) as bare:
        upload = uploader(stage, sender, pictures)
        for warm_up in (upload, bare.once):
            await asyncio.gather(*(warm_up() for _ in range(8)))
        used, own = stage.processor_s("helper"), time.process_time()
        shared = await _together(stage, upload, bare.once, stage.many(SECONDS, least=2))
        used, own = stage.processor_s("helper") - used, time.process_time() - own
        async with suspended(readers):
            still = stage.many(STILL_SECONDS, least=2, grows=False)
            alone = await _together(stage, upload, bare.once, still)
    p50, floor = (percentile(each, 0.5) for each in (shared.uploads, shared.floor))
    p50_alone, floor_alone = (percentile(each, 0.5) for each in (alone.uploads, alone.floor))
    return [
        Figure(GROUP, "p50", p50 * 1000, "ms", note=shared.note),
        Figure(GROUP, "p95", percentile(shared.uploads, 0.95) * 1000, "ms", 35),
        Figure(GROUP, "p99", percentile(shared.uploads, 0.99) * 1000, "ms"),
        Figure(GROUP, "floor p50", floor * 1000, "ms", note="one S3 PUT + one INSERT, commit"),
        Figure(GROUP, "floor p95", percentile(shared.floor, 0.95) * 1000, "ms"),
        Figure(GROUP, "p50 ÷ floor p50", p50 / floor, "×", 1.7, note="each floor between two uploads"),
        Figure(GROUP, "failed", shared.lost + alone.lost, "", 0),
        Figure(GROUP, "helper's processor time of one", 1000 * used / len(shared.uploads), "ms"),
        Figure(
            GROUP,
            "this client's of one or its floor",
            1000 * own / (len(shared.uploads) + len(shared.floor)),
            "ms",
            note="the same cores serve both",
        ),
        Figure(GROUP, "p50 while the readers stand still", p50_alone * 1000, "ms", note=alone.note),
        Figure(GROUP, "p95 of these", percentile(alone.uploads, 0.95) * 1000, "ms", 35),
        Figure(GROUP, "p50 ÷ floor p50 of these", p50_alone / floor_alone, "×", 1.7),
    ]


@dataclass
class _Found:
    """Seconds that uploads and their floor took, and what went wrong."""

    uploads: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    late: int = 0

    @property
    def lost(self) -> int:
        return self.late + len(self.errors)

    @property
    def note(self) -> str:
        first = f", first: {self.errors[0]}" if self.errors else ""
        return f"{len(self.uploads)} uploads, {self.lost} failed{first}"


async def _together(stage: Stage, upload: Once, floor: Once, seconds: int) -> _Found:
    """Begin ``RATE`` uploads a second, and after every few of them their floor, midway to the next.

    A call that is slow delays none that follow, and one that begins late counts from when it was due.
    """
    found, running = _Found(), set[asyncio.Task[None]]()
    advance = stage.say("uploads and their floor", seconds)
    began = time.perf_counter()

    async def begin(once: Once, due: float, into: list[float]) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(_timed(once, due, into, found.errors))
        running.add(task)
        task.add_done_callback(running.discard)

    for number in range(RATE * seconds):
        await begin(upload, began + number / RATE, found.uploads)
        if number % FLOOR_AFTER == 0:
            await begin(floor, began + (number + 0.5) / RATE, found.floor)
        if number % RATE == 0:
            advance(1)
    if running:
        _, late = await asyncio.wait(running, timeout=GRACE_S)
        found.late = len(late)
        for task in late:
            task.cancel()
    if not found.uploads or not found.floor:
        raise NotMeasured(f"uploads: {found.note}")
    return found


async def _timed(once: Once, due: float, into: list[float], errors: list[str]) -> None:
    try:
        await once()
    except Exception as error:  # whatever it is, it is one that failed
        errors.append(f"{type(error).__name__}: {error}"[:200])
    else:
        into.append(time.perf_counter() - due)


def uploader(stage: Stage, sender: Sender, pictures: Pictures) -> Once:
    """Return what uploads a photo of its own. Raises NotMeasured if it is not taken."""
    branch = stage.branch("upload")
    headers = stage.headers("helper", branch)

    async def once() -> None:
        body, content_type = multipart(pictures.photo(), branch)
        answer = await sender.post("/tasks", body, {**headers, "Content-Type": content_type})
        if answer.status != 201:
            raise NotMeasured(f"{answer.status} {answer.text[:150]}")

    return once


class _Floor:
    """One S3 PUT, then one INSERT in a transaction, as lean as a client of Python can."""

    def __init__(self, stage: Stage, pictures: Pictures) -> None:
        self._stage = stage
        self._pictures = pictures
        store = stage.document["s3"]
        self._bucket = store["bucket"]
        self._s3 = boto_client(store, max_pool_connections=THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="floor")
        self._keys: list[str] = []
        self._pool: Any = None

    async def __aenter__(self) -> "_Floor":
        url = plain_dsn(self._stage.document["postgres_urls"]["helper"])
        self._pool = await asyncpg.create_pool(url, min_size=8, max_size=8, command_timeout=20)
        await self._pool.execute(f"DROP TABLE IF EXISTS {TABLE}")
        await self._pool.execute(
            f"CREATE TABLE {TABLE} (id uuid PRIMARY KEY, key text NOT NULL, at timestamptz DEFAULT now())"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.execute(f"DROP TABLE IF EXISTS {TABLE}")
        await self._pool.close()
        await asyncio.to_thread(self._delete)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def once(self) -> None:
        """Store one photo and one row."""
        photo, key = self._pictures.photo(), f"bench/{self._stage.run}/{uuid.uuid4()}.jpg"
        self._keys.append(key)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._put, key, photo)
        async with self._pool.acquire() as connection:
            await connection.execute(f"INSERT INTO {TABLE} (id, key) VALUES ($1, $2)", uuid.uuid4(), key)  # noqa: S608

    def _put(self, key: str, photo: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=photo, ContentType="image/jpeg")

    def _delete(self) -> None:
        for key in self._keys:
            self._s3.delete_object(Bucket=self._bucket, Key=key)
