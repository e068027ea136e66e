"""Continuous load on all services, from clients that do not give up, and its results."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from laundry.demo.photos import unique
from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.bench.stage import Stage
from laundry_lab.faults.ledger import Ledger, Upload

USUAL_RATE = 8.0
AGAIN_S = 0.5
ANSWERED_S = 90.0
REQUEST_S = 15.0
SAMPLE_EVERY_S = 0.5


@dataclass
class Point:
    """One moment for the picture: seconds since the beginning, promised so far, read so far."""

    at: float
    accepted: int
    read: int | None


@dataclass
class Load:
    """Uploads at a steady rate, whatever happens to the system; further load comes as ``others``.

    Attributes:
        confirming: whether owners confirm readings at present.
        broken: why a kind of load ended before its time.
    """

    stage: Stage
    ledger: Ledger
    rate: float
    points: list[Point] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    confirming: asyncio.Event = field(default_factory=asyncio.Event)
    broken: list[str] = field(default_factory=list)
    _going: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: int = 0

    @property
    def branch(self) -> str:
        """The branch of all photos and washers of this run."""
        return self.stage.branch("load")

    @property
    def phone(self) -> str:
        """The owner's device token."""
        return f"faults-phone-{self.stage.run}"

    @property
    def customers(self) -> str:
        """How the names and device tokens of this run's customers begin."""
        return f"faults-customer-{self.stage.run}"

    @property
    def going(self) -> bool:
        """Whether new things are begun at present."""
        return self._going.is_set()

    async def goes_on(self) -> None:
        """Wait until new things may be begun."""
        await self._going.wait()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @asynccontextmanager
    async def running(self, others: Sequence["Source"]) -> AsyncIterator[None]:
        """Load the system until the block ends."""
        await self._register_phone()
        self._going.set()
        self.confirming.set()
        sources = [self._upload_all(), self._sample(), *(each(self) for each in others)]
        tasks = [asyncio.create_task(each) for each in sources]
        for task in tasks:
            task.add_done_callback(self._note_end)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            self.broken.append(f"{type(error).__name__}: {error}"[:300])

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Pause the load, wait until every open request is answered, and resume after the block.

        Raises:
            TimeoutError: somebody is still not answered.
        """
        self._going.clear()
        try:
            async with asyncio.timeout(ANSWERED_S):
                while self._under_way:  # noqa: ASYNC110 - a count, not an event
                    await asyncio.sleep(0.05)
            yield
        finally:
            self._going.set()

    @asynccontextmanager
    async def unconfirmed(self) -> AsyncIterator[None]:
        """Let owners confirm nothing until the block ends."""
        self.confirming.clear()
        try:
            yield
        finally:
            self.confirming.set()

    async def finish(self, client: httpx.AsyncClient, upload: Upload, photo: bytes) -> None:
        """Send a photo again and again until it is accepted, as a phone does, under one key.

        Raises:
            RuntimeError: the helper refuses it for good (4xx).
        """
        body, content_type = multipart(photo, self.branch)
        while True:
            upload.tries += 1
            signed_with = self.stage.identity.key_id
            headers = {
                **self.stage.headers("helper", self.branch),
                "Content-Type": content_type,
                "Idempotency-Key": upload.key,
            }
            with suppress(httpx.HTTPError, OSError):
                answer = await client.post("/tasks", content=body, headers=headers, timeout=REQUEST_S)
                if answer.status_code in (200, 201):
                    self.ledger.accepted(upload, answer.json()["id"])
                    return
                passes = answer.status_code in (408, 409, 429) or self.signs_in_again(answer, signed_with)
                if 400 <= answer.status_code < 500 and not passes:
                    raise RuntimeError(f"an upload was answered {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(AGAIN_S)

    def signs_in_again(self, answer: httpx.Response, signed_with: str) -> bool:
        """Whether a token was refused whose key has been withdrawn since: with the next one it is taken."""
        return answer.status_code == httpx.codes.UNAUTHORIZED and self.stage.identity.key_id != signed_with

    async def counted(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that a pause waits for."""
        self._under_way += 1
        try:
            await work
        finally:
            self._under_way -= 1

    async def _upload_all(self) -> None:
        photos = await asyncio.to_thread(small_photos)
        number = 0
        async with self.stage.client("helper") as client, asyncio.TaskGroup() as uploads:
            due = time.monotonic()
            while True:
                if not self._going.is_set():
                    await self._going.wait()
                    due = time.monotonic()
                upload = self.ledger.asked(f"{self.stage.run}-{number}")
                photo = unique(photos[number % len(photos)])
                uploads.create_task(self.counted(self.finish(client, upload, photo)))
                number += 1
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _register_phone(self) -> None:
        async with self.stage.client("notification") as client:
            answer = await client.post(
                "/devices",
                json={"token": self.phone, "platform": "android"},
                headers=self.stage.headers("owner", self.branch),
            )
            answer.raise_for_status()

    async def _sample(self) -> None:
        while True:
            read: int | None = None
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                read = await self.count_read()
            self.points.append(Point(self.now, len(self.ledger.accepted_ids), read))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def count_read(self) -> int:
        """Ask the helper's own table how many of these photos have been read."""
        async with asyncio.timeout(2):
            connection = await asyncpg.connect(self.stage.document["postgres_urls"]["helper"])
            try:
                query = "SELECT count(*) FROM tasks WHERE branch_id = $1 AND status <> 'submitted'"
                return int(await connection.fetchval(query, self.branch))
            finally:
                await connection.close(timeout=1)


Source = Callable[[Load], Coroutine[Any, Any, None]]
"""Asks one kind of thing of the system, on and on, until it is cancelled."""
