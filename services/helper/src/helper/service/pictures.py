"""What pages show of a photo: renditions of it, never the original file.

The reader makes them when it has time. For older tasks, for photos read under load, and for those
that could not be read, they are made on first request.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from helper import repository
from helper.decoder import Decoder
from helper.repository import readings
from helper.tasks import Task, pictures_folder
from laundry_events import new_id
from laundry_events.events import Picture, Pictures
from laundry_reading.bare import bare
from laundry_reading.photo import MAX_BYTES
from laundry_reading.pictures import EXTENSION, MEDIA_TYPE
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable

MADE = Counter("laundry_helper_pictures_made", "Photos whose pictures were made because somebody asked")

# Each holds a whole photo.
AT_ONCE = 2

log = structlog.get_logger(__name__)


@dataclass
class _Waiting:
    """Requests waiting for the same task's pictures."""

    turn: asyncio.Lock
    number: int = 0


class PictureService:
    """Finds a task's pictures, or makes them."""

    def __init__(self, database: Database, store: ObjectStore, decoder: Decoder) -> None:
        """Take where tasks, photos and pictures are, and what decodes."""
        self._database = database
        self._store = store
        self._decoder = decoder
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting: dict[str, _Waiting] = {}

    async def of(self, task: Task) -> Pictures:
        """Return the pictures of a task.

        Raises:
            ObjectMissing: its photo is gone.
            PhotoError: it cannot be decoded.
            DecoderBusy, ObjectStoreUnavailable, DatabaseUnavailable: not now.
        """
        return task.pictures or await self._made_once(task)

    async def remade(self, task: Task) -> Pictures:
        """Make pictures that are noted and gone from the store. Raises as ``of`` does."""
        return await self._made_once(task)

    async def bare(self, task: Task) -> bytes:
        """Return the file of a task's photo without its metadata.

        Raises:
            ObjectMissing: its photo is gone.
            PhotoError: what it tells cannot be taken out of it.
            ObjectStoreUnavailable: not now.
        """
        async with self._room:
            photo = await self._store.get(task.photo.key, max_bytes=MAX_BYTES)
            return await asyncio.to_thread(bare, photo)

    async def _made_once(self, task: Task) -> Pictures:
        waiting = self._waiting.setdefault(task.id, _Waiting(asyncio.Lock()))
        waiting.number += 1
        try:
            async with waiting.turn:
                async with repository.single(self._database) as connection:
                    now = await repository.find(connection, task.id)
                if now is not None and now.pictures is not None and now.pictures != task.pictures:
                    return now.pictures
                async with self._room:
                    return await self._make(task)
        finally:
            waiting.number -= 1
            if not waiting.number:
                del self._waiting[task.id]

    async def _make(self, task: Task) -> Pictures:
        photo = await self._store.get(task.photo.key, max_bytes=MAX_BYTES)
        made = await self._decoder.pictures(photo)
        folder = f"{pictures_folder(task.branch_id, task.id)}{new_id()}"
        pictures = Pictures(
            display=Picture(key=f"{folder}-display.{EXTENSION}", **made.display.described),
            thumbnail=Picture(key=f"{folder}-thumbnail.{EXTENSION}", **made.thumbnail.described),
        )
        await self._store.put(pictures.display.key, made.display.data, media_type=MEDIA_TYPE)
        await self._store.put(pictures.thumbnail.key, made.thumbnail.data, media_type=MEDIA_TYPE)
        async with repository.single(self._database) as connection:
            noted = await readings.keep_pictures(connection, task.id, pictures, instead_of=task.pictures)
            now = None if noted else await repository.find(connection, task.id)
        if not noted:
            await self._drop(pictures)
            if now is None or now.pictures is None:
                raise ObjectMissing(task.photo.key)
            return now.pictures
        MADE.inc()
        return pictures

    async def _drop(self, pictures: Pictures) -> None:
        for key in (pictures.display.key, pictures.thumbnail.key):
            with contextlib.suppress(ObjectStoreUnavailable):
                await self._store.delete(key)
