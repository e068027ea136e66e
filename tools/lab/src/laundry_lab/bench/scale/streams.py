"""Open streams of a service: what each costs in memory, and how late a change reaches the last of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from laundry_lab.bench.scale.databases import administered, fill
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.scale.tasks import FILL
from laundry_lab.bench.stage import NotMeasured, Stage

STEPS = (100, 1_000, 5_000)
SETTINGS = {
    "LAUNDRY_STREAMS_AT_MOST": "6000",
    "LAUNDRY_STREAMS_PER_BRANCH": "6000",
    "LAUNDRY_HTTP_CONNECTIONS": "8000",
    "LAUNDRY_HTTP_CONNECTIONS_PER_ADDRESS": "8000",
}
BRANCH = "scale-1"
OPENING_AT_ONCE = 50
OPENED_WITHIN_S = 120.0
CHANGES = 5
TOLD_WITHIN_S = 60.0
POLL_S = 0.01
CHANGE = """
UPDATE tasks SET version = version + 1
WHERE id = (SELECT id FROM tasks WHERE branch_id = $1 ORDER BY id DESC LIMIT 1)
"""


async def measure(stage: Stage) -> list[Reading]:
    """Open more and more streams of one branch's tasks and change a task at each step."""
    await fill(stage, "helper", FILL, rows=10_000, branches=20)
    found = []
    at_rest = stage.memory_mb("helper")
    async with streams(stage) as opened:
        for step in STEPS:
            await opened.until(step)
            used_mb = stage.memory_mb("helper") - at_rest
            slowest = max([await opened.change() for _ in range(CHANGES)])
            note = f"helper {used_mb:.0f} MB more, {1000 * used_mb / step:.0f} KB a stream"
            found.append(
                Reading("a change reaches the last stream", "linear", step, 1000 * slowest, note=note)
            )
    return found


class Streams:
    """Streams that are open, and how many have been told something."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._address = urlsplit(stage.document["helper_url"])
        self._readers: list[asyncio.Task[None]] = []
        self._ready = self._told = 0

    async def until(self, number: int) -> None:
        """Open streams until there are so many. Raises NotMeasured: one is refused, or it takes too long."""
        turns = asyncio.Semaphore(OPENING_AT_ONCE)
        missing = range(len(self._readers), number)
        self._readers += [asyncio.create_task(self._read(each, turns)) for each in missing]
        await self._wait("opened", lambda: self._ready, number, OPENED_WITHIN_S)

    async def change(self) -> float:
        """Change a task; returns the seconds until every stream has told of it."""
        self._told = 0
        began = time.perf_counter()
        async with administered(self._stage, "helper") as connection:
            await connection.execute(CHANGE, BRANCH)
        await self._wait("told", lambda: self._told, len(self._readers), TOLD_WITHIN_S)
        return time.perf_counter() - began

    async def close(self) -> None:
        """Close all."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _wait(self, what: str, number: Callable[[], int], wanted: int, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while number() < wanted:
            ended = [each for each in self._readers if each.done()]
            if ended or time.monotonic() > deadline:
                why = next((str(each.exception()) for each in ended if each.exception()), "too late")
                raise NotMeasured(f"scale: {number()} of {wanted} streams {what}: {why}")
            await asyncio.sleep(POLL_S)

    async def _read(self, number: int, turns: asyncio.Semaphore) -> None:
        headers = self._stage.headers("owner", BRANCH, subject=f"scale-{self._stage.run}-{number}")
        lines = ["GET /tasks/stream HTTP/1.1", f"Host: {self._address.netloc}"]
        request = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""])
        async with turns:
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
            writer.write(request.encode())
            answer = await reader.readuntil(b"\r\n")
            if b" 200 " not in answer:
                raise NotMeasured(answer.decode().strip())
            await self._event(reader, b"event: ready")
            self._ready += 1
        try:
            while True:
                await self._event(reader, b"event: task")
                self._told += 1
        finally:
            writer.close()

    @staticmethod
    async def _event(reader: asyncio.StreamReader, wanted: bytes) -> None:
        while not (await reader.readuntil(b"\n")).startswith(wanted):
            pass


@asynccontextmanager
async def streams(stage: Stage) -> AsyncIterator[Streams]:
    """Have streams while the block runs."""
    opened = Streams(stage)
    try:
        yield opened
    finally:
        await opened.close()
