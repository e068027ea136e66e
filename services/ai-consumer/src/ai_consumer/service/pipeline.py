"""From a submitted task to its reading: fetch, read in one worker thread, publish."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import structlog
from opentelemetry import trace
from prometheus_client import Counter, Histogram

from ai_consumer.reading import PhotoMismatch, PhotoMissing, read_labels, read_task, unreadable
from ai_consumer.service.champion import Champion
from ai_consumer.service.pictures import made_pictures
from ai_consumer.service.shadow import ShadowReader
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_events.previews import Preview
from laundry_reading.errors import PhotoError
from laundry_reading.model import Model
from laundry_reading.photo import MAX_BYTES
from laundry_service.storage.object_store import ObjectMissing, ObjectStore

READ = Counter("laundry_photos_read", "Photos by outcome", ["outcome"])
READING = Histogram(
    "laundry_photo_reading_seconds",
    "Time to check, decode and read one photo in the worker thread",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

# Of larger photos one is held at a time: three of the largest would be most of what a replica may have.
LARGE_BYTES = 5_000_000

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)


class Pipeline:
    """Fetches overlap, readings do not: one thread decodes and reads, as a replica has one core."""

    def __init__(
        self, store: ObjectStore, champion: Champion, shadow: ShadowReader, *, photos_in_memory: int
    ) -> None:
        """Read photos from ``store`` with the champion, and a share of them with the shadow."""
        self._shadow = shadow
        self._store = store
        self._champion = champion
        self._room = asyncio.Semaphore(photos_in_memory)
        self._large = asyncio.Semaphore(1)
        self._in_hand = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="read")

    async def read(self, task: TaskSubmitted, name: str) -> TaskRead:
        """Read a task's photo; an unreadable one is a result too.

        While no other photo waits here its pictures for showing are made as well. In a rush readings come
        first; the helper has them made when somebody asks.

        Args:
            name: of the reading, the same however often its submission is delivered.

        Raises:
            ObjectStoreUnavailable, NoModelYet, ModelError: not now; try again later.
        """
        self._in_hand += 1
        try:
            return await self._read_in_turn(task, name)
        finally:
            self._in_hand -= 1

    async def preview(self, photo: bytes, branch_id: str) -> Preview:
        """Read a photo that nobody has submitted; nothing of it is kept or counted as read.

        Raises:
            NoModelYet, ModelError: not now.
        """
        model = await self._champion.current()
        try:
            reading = await asyncio.get_running_loop().run_in_executor(
                self._worker, partial(model.read, photo, branch_id=branch_id)
            )
        except PhotoError as error:
            return Preview(unreadable_reason=error.code, needs_review=True, model_version=model.version)
        return Preview(
            labels=read_labels(reading),
            needs_review=reading.needs_review,
            multiple=reading.multiple,
            model_version=reading.model_version,
        )

    async def _read_in_turn(self, task: TaskSubmitted, name: str) -> TaskRead:
        model = await self._champion.current()
        try:
            async with self._turn(task.photo.bytes):
                photo = await self._fetch(task)
                # Asked again: the champion may have changed while the photo was fetched.
                model = await self._champion.current()
                with tracer.start_as_current_span("read photo") as span:
                    span.set_attribute("laundry.model.version", model.version)
                    read = await asyncio.get_running_loop().run_in_executor(
                        self._worker, self._read, task, photo, model
                    )
                if self._in_hand == 1:
                    pictures = await made_pictures(self._store, self._worker, task, photo, name)
                    read = read.model_copy(update={"pictures": pictures})
        except PhotoError as error:
            log.info("unreadable photo", task_id=task.task_id, reason=error.code, why=str(error))
            READ.labels("unreadable").inc()
            return unreadable(task, error, model_version=model.version, now=datetime.now(UTC))
        READ.labels("read").inc()
        self._shadow.offer(photo, read, self._worker)
        return read

    @contextlib.asynccontextmanager
    async def _turn(self, size: int) -> AsyncIterator[None]:
        async with self._large if size > LARGE_BYTES else contextlib.nullcontext(), self._room:
            yield

    async def close(self) -> None:
        """Wait for the current reading to finish."""
        await asyncio.to_thread(self._worker.shutdown, wait=True)

    async def _fetch(self, task: TaskSubmitted) -> bytes:
        try:
            return await self._store.get(task.photo.key, max_bytes=MAX_BYTES)
        except ObjectMissing as error:
            # A task is registered only once its photo is stored, so waiting would not bring it.
            raise PhotoMissing("The photo is not in the store.") from error
        except ValueError as error:
            raise PhotoMismatch(f"The stored photo is larger than any that is taken: {error}.") from error

    @staticmethod
    def _read(task: TaskSubmitted, photo: bytes, model: Model) -> TaskRead:
        with READING.time():
            return read_task(task, photo, model, clock=partial(datetime.now, UTC))
