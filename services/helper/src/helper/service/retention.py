"""Deletes photos that are past their time, however often it is interrupted.

First the row says that the photo is deleted, in one transaction with the event that tells mlops; from then on
nobody is shown it and nobody makes pictures of it. Then its objects go, one photo at a time, under a lock of
its row that dies with this process. What is half deleted is found again by its row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository
from helper.decoder import DecoderBusy
from helper.repository import retention
from helper.repository.clocks import time_to_delete
from helper.retention import Limits
from helper.service.pictures import PictureService
from helper.tasks import Task, pictures_folder
from laundry_events import Outbox
from laundry_events.events import PhotoDeleted
from laundry_reading.errors import PhotoError
from laundry_service.background.task import OUTAGES, BackgroundTask
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable

AT_ONCE = 100
"""Rows that one transaction changes."""

ONE_PHOTO_S = 60.0
REFUSED_AT_MOST = 10
FIRST_ID = str(UUID(int=0))
RETRY_S = 60.0

DELETED = Counter("laundry_helper_photos_deleted", "Photos of which nothing is stored any more", ["what"])
OVERDUE = Gauge("laundry_helper_photos_overdue", "Photos past their time that are still stored")
OLDEST = Gauge("laundry_helper_photos_overdue_seconds", "For how long the longest of them is past its time")

log = structlog.get_logger(__name__)


class PhotoRetention:
    """A part of the app; every replica has one, and none waits for another."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        outbox: Outbox,
        pictures: PictureService,
        limits: Limits,
        *,
        every_s: float,
        now: Callable[[AsyncSession], Awaitable[datetime]] = time_to_delete,
    ) -> None:
        """Take the stores, what makes pictures, and how long photos are kept."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._pictures = pictures
        self._limits = limits
        self._now = now
        # Each turn goes on behind what the last one tried: what is refused for ever holds up no other.
        self._going = self._bare = FIRST_ID
        self._task = BackgroundTask(
            "photo-retention",
            self._turn,
            every_s=every_s,
            retry_s=min(every_s, RETRY_S),
            expected=(*OUTAGES, repository.DatabaseUnavailable, ObjectStoreUnavailable),
            waiting="photos past their time wait for a store",
            failed="deleting photos failed",
        )

    async def start(self) -> None:
        """Start to delete photos that are past their time."""
        await self._task.start()

    async def stop(self) -> None:
        """Stop at the present await; whatever is half done is found again."""
        await self._task.stop()

    async def _turn(self) -> None:
        try:
            await self.tidy()
        finally:
            await self._measure()

    async def tidy(self) -> None:
        """Delete what is past its time.

        Raises:
            DatabaseUnavailable, ObjectStoreUnavailable: it goes on where it was, the next time.
        """
        while await self._expire() or await self._withdraw():
            pass
        refused: Exception | None = None
        for work in (self._remove_all, self._keep_only_pictures):
            try:
                await work()
            except (ObjectStoreUnavailable, TimeoutError) as error:
                refused = refused or error
        if refused is not None:
            raise refused

    async def _expire(self) -> bool:
        async with repository.transaction(self._database) as session:
            now = await self._now(session)
            expired = await retention.expire(session, self._limits, now=now, limit=AT_ONCE)
            for task, keeps in expired:
                await self._tell(session, task, now, keep_features=keeps)
        if expired:
            log.info("photos are past their time", photos=len(expired))
        return bool(expired)

    async def _withdraw(self) -> bool:
        async with repository.transaction(self._database) as session:
            now = await repository.time_of(session)
            withdrawn = await retention.withdraw(session, limit=AT_ONCE)
            for task in withdrawn:
                await self._tell(session, task, now, keep_features=False)
        return bool(withdrawn)

    async def _tell(self, session: AsyncSession, task: Task, now: datetime, *, keep_features: bool) -> None:
        await self._outbox.add(
            session,
            PhotoDeleted(
                task_id=task.id,
                branch_id=task.branch_id,
                photo_sha256=task.photo.sha256,
                keep_features=keep_features,
                deleted_at=task.photo_deleted_at or now,
            ),
        )

    async def _remove_all(self) -> None:
        """Remove one photo after another; one that the store refuses is passed over until the next turn."""
        refused: list[str] = []
        while True:
            task: Task | None = None
            try:
                async with asyncio.timeout(ONE_PHOTO_S), repository.transaction(self._database) as session:
                    task = await retention.next_going(session, after=self._going, passed_over=refused)
                    if task is None:
                        break
                    self._going = task.id
                    await self._remove(task)
                    await retention.note_gone(session, task.id, await repository.time_of(session))
            except (ObjectStoreUnavailable, TimeoutError):
                if task is None or len(refused) >= REFUSED_AT_MOST:
                    raise
                refused.append(task.id)
                continue
            DELETED.labels("photo").inc()
        if refused:
            raise ObjectStoreUnavailable(f"{len(refused)} photos are still to be deleted")

    async def _remove(self, task: Task) -> None:
        for key in task.stored:
            await self._store.delete(key)
        # Pictures that nobody noted: of a reading that came late, or made while the photo was deleted.
        stray = [key async for key, _ in self._store.listing(pictures_folder(task.branch_id, task.id))]
        for key in stray:
            await self._store.delete(key)

    async def _keep_only_pictures(self) -> None:
        """Of photos whose helper is forgotten, delete the file as it was sent."""
        busy: list[str] = []
        refused: list[str] = []
        while True:
            async with repository.transaction(self._database) as session:
                task = await retention.next_bare(session, after=self._bare, passed_over=[*busy, *refused])
            if task is None:
                break
            self._bare = task.id
            try:
                await self._delete_original(task)
            except DecoderBusy:
                busy.append(task.id)
            except ObjectStoreUnavailable:
                if len(refused) >= REFUSED_AT_MOST:
                    raise
                refused.append(task.id)
            else:
                DELETED.labels("original").inc()
        if refused:
            raise ObjectStoreUnavailable(f"{len(refused)} files as they were sent are still to be deleted")

    async def _delete_original(self, task: Task) -> None:
        try:
            await self._pictures.of(task)
        except (PhotoError, ObjectMissing):
            log.info("no picture remains of a photo", task_id=task.id)
        await self._store.delete(task.photo.key)
        async with repository.transaction(self._database) as session:
            await retention.note_original_deleted(session, task.id, await repository.time_of(session))

    async def _measure(self) -> None:
        async with repository.transaction(self._database) as session:
            now = await self._now(session)
            found = await retention.overdue(session, self._limits, now=now)
        OVERDUE.set(found.number)
        OLDEST.set(0 if found.oldest is None else max(0.0, (now - found.oldest).total_seconds()))
