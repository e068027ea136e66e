"""Takes an upload: check, store, then register. 201 means that both stores have it."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository
from helper.decoder import Decoder
from helper.repository import submissions
from helper.tasks import Task, photo_key, same_submission, submission_key, submitted, withdraw
from laundry_events import new_id
from laundry_events.envelope import encode
from laundry_events.events import Photo
from laundry_reading.photo import PhotoInfo, inspect_at_once
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

# Up to here a photo is in memory, and if it is a JPEG checked on the event loop (about a millisecond);
# a bigger one is on disk and gets a thread. What is no JPEG is looked into by the decoder alone.
SMALL_BYTES = 1024 * 1024
BIG_AT_ONCE = 2

# Uploads processed at once; the others wait with their photo in the spool, so that a rush costs time
# and not memory. A few more than the stores' own connections keep those busy.
AT_ONCE = 16

STAGE = Histogram(
    "laundry_helper_upload_seconds",
    "Time of each stage of an upload",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10),
)
# What is there from the start has a rate from the first upload.
for stage in ("wait", "check", "store", "register"):
    STAGE.labels(stage)
SUBMITTED = Counter("laundry_helper_tasks_submitted", "Uploads that were answered 201", ["replayed"])

log = structlog.get_logger(__name__)


class KeyReused(Exception):
    """The helper used this Idempotency-Key for another photo, branch or note."""


@dataclass(frozen=True)
class Replaced:
    """A photo that another one was taken instead of: its task, or what its upload was sent under."""

    task_id: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Upload:
    """A photo as it arrived, with what its sender says of it."""

    file: IO[bytes]
    bytes: int
    branch_id: str
    helper_id: str
    note: str | None
    idempotency_key: str | None
    load_id: str | None = None
    replaces: tuple[Replaced, ...] = ()


class Submissions:
    """Registers uploads as tasks."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        decoder: Decoder,
        *,
        source: str,
        max_bytes: int,
        max_pixels: int,
        same_photo_s: int,
        retake_within_s: int,
    ) -> None:
        """Take the stores, what decodes, and the limits.

        Args:
            source: the service that speaks.
            same_photo_s: for this many seconds the same photo without a key is the same task.
            retake_within_s: for this many seconds a photo can be taken again.
        """
        self._database = database
        self._store = store
        self._decoder = decoder
        self._source = f"/{source}"
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._same_photo = timedelta(seconds=same_photo_s)
        self._retake_within = timedelta(seconds=retake_within_s)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._big = asyncio.Semaphore(BIG_AT_ONCE)

    async def known(self, helper_id: str, idempotency_key: str) -> Task | None:
        """Find what a helper has submitted under a key.

        Raises:
            DatabaseUnavailable.
        """
        async with repository.single(self._database) as connection:
            return await submissions.submitted(connection, helper_id, submission_key(idempotency_key, "", ""))

    async def submit(self, upload: Upload) -> tuple[Task, bool]:
        """Register an upload.

        Returns:
            the task, and whether an earlier upload had made it.

        Raises:
            PhotoError: the photo cannot be taken.
            KeyReused: the Idempotency-Key belongs to another upload.
            NotReplaceable: it cannot take the place of what it names; nothing was registered.
            DecoderBusy: too many others wait to be decoded.
            ObjectStoreUnavailable, DatabaseUnavailable: not known to be registered; sending it again is safe.
        """
        with STAGE.labels("wait").time():
            await self._slots.acquire()
        try:
            return await self._submit(upload)
        finally:
            self._slots.release()

    async def _submit(self, upload: Upload) -> tuple[Task, bool]:
        with STAGE.labels("check").time():
            info, digest, body = await self._check(upload)
        now = datetime.now(UTC)
        task_id = new_id()
        photo = Photo(
            key=photo_key(upload.branch_id, task_id, now, info.extension),
            sha256=digest,
            bytes=upload.bytes,
            media_type=info.media_type,
        )
        task = Task(
            task_id, upload.branch_id, upload.helper_id, photo, now, note=upload.note, load_id=upload.load_id
        )
        with STAGE.labels("store").time():
            await self._store.put(photo.key, body, media_type=photo.media_type)
        with STAGE.labels("register").time():
            earlier = await self._register(task, upload)
        if earlier is None:
            SUBMITTED.labels("no").inc()
            return task, False
        await self._drop(photo.key)
        other_note = upload.idempotency_key is not None and earlier.note != upload.note
        if other_note or not same_submission(earlier, upload.branch_id, digest):
            raise KeyReused
        SUBMITTED.labels("yes").inc()
        return earlier, True

    async def _check(self, upload: Upload) -> tuple[PhotoInfo, str, bytes | IO[bytes]]:
        if upload.bytes <= SMALL_BYTES:
            data = upload.file.read()
            info = await self._sure(data, self._inspect(data))
            return info, hashlib.sha256(data).hexdigest(), data
        async with self._big:
            data = await asyncio.to_thread(upload.file.read)
            info = await self._sure(data, await asyncio.to_thread(self._inspect, data))
            digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        upload.file.seek(0)
        return info, digest, upload.file

    def _inspect(self, data: bytes) -> PhotoInfo | None:
        return inspect_at_once(data, max_bytes=self._max_bytes, max_pixels=self._max_pixels)

    async def _sure(self, data: bytes, info: PhotoInfo | None) -> PhotoInfo:
        """Decode the photo where only that shows whether it is sound: 201 means that it can be read."""
        if info is not None and info.sure:
            return info
        return await self._decoder.check(data, max_bytes=self._max_bytes, max_pixels=self._max_pixels)

    async def _register(self, task: Task, upload: Upload) -> Task | None:
        idempotency_key = upload.idempotency_key
        key = submission_key(idempotency_key, task.branch_id, task.photo.sha256)
        expires_at = None if idempotency_key is not None else task.submitted_at + self._same_photo
        event = encode(submitted(task), source=self._source)
        try:
            if upload.replaces:
                async with repository.transaction(self._database) as session:
                    earlier = await submissions.add(session, task, event, key=key, expires_at=expires_at)
                    if earlier is None:
                        await self._withdraw(session, upload.replaces, task)
                    return earlier
            async with repository.single(self._database) as connection:
                return await submissions.add(connection, task, event, key=key, expires_at=expires_at)
        except Exception as error:
            # In doubt the task may exist, and then its photo must; what is left over, the sweep finds.
            if not (isinstance(error, repository.DatabaseUnavailable) and error.in_doubt):
                await self._drop(task.photo.key)
            raise

    async def _withdraw(self, session: AsyncSession, replaced: tuple[Replaced, ...], task: Task) -> None:
        for each in replaced:
            if each.key is not None:
                key = submission_key(each.key, task.branch_id, task.photo.sha256)
                before = await submissions.submitted_under(session, key, or_claim_for=task)
                # An upload that never arrived has no task, and cannot make one any more.
                if before is None or before.id == task.id:
                    continue
                # Its helper was never told that it was registered: he could not know how old it is.
                after = withdraw(before, for_task=task, within=None)
            else:
                before = await repository.find(session, each.task_id or "", lock=True)
                after = withdraw(before, for_task=task, within=self._retake_within)
            if after is not before:
                await repository.change(session, after)

    async def _drop(self, key: str) -> None:
        with contextlib.suppress(ObjectStoreUnavailable):
            await self._store.delete(key)
            return
        log.warning("a photo without a task stays until the next sweep", key=key)
