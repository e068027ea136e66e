"""Reconciles what lies in the store with the registry: the shipped model is known, manifests are right and
signed, promotions announced; and keeps the inbox short, and the deletions that wait for a confirmation few.
"""

import math
import time
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_events.inbox import expired
from laundry_events.tables import inbox
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from laundry_service.storage.slices import delete_in_slices, slice_of
from mlops import repository
from mlops.models import BrokenModel
from mlops.service.registry import Registry

RETRY_S = 2.0
POLL_S = 5.0
FORGET_EVERY_S = 3600.0
REPAIR_EVERY_S = 60.0
PAGE = 100

log = structlog.get_logger(__name__)


class Reconciler(BackgroundTask):
    """Reconciles again and again, since database and object store may be away."""

    def __init__(self, registry: Registry, database: Database, model_dir: Path, *, signed_by: str) -> None:
        """Take the registry, its database, the folder of the shipped model and the signing key's name."""
        super().__init__(
            "registry-reconciler",
            self._turn,
            every_s=POLL_S,
            retry_s=RETRY_S,
            expected=(ObjectStoreUnavailable, SQLAlchemyError, OSError),
            waiting="the registry waits for its servers",
            failed="the registry could not be kept",
        )
        self._registry = registry
        self._signed_by = signed_by
        self._database = database
        self._model_dir = model_dir
        self._prepared = False
        self._forgot_at = self._repaired_at = -math.inf
        self._signed = False

    async def start(self) -> None:
        """Begin in the background, and log by which key manifests are signed."""
        log.info("models are signed", key=self._signed_by)
        await super().start()

    async def ready(self) -> bool:
        """Whether the shipped model is registered and the champion's manifest was checked."""
        return self._prepared

    async def _turn(self) -> None:
        if not self._prepared:
            await self._prepare()
        await self._repair()
        self._prepared = True
        await self._registry.announce()
        await self._sign()
        await self._forget()

    async def _forget(self) -> None:
        now = time.monotonic()
        if now - self._forgot_at < FORGET_EVERY_S:
            return
        await delete_in_slices(self._database.transaction, slice_of(inbox, expired()))
        await delete_in_slices(self._database.transaction, repository.deletions_past_waiting())
        self._forgot_at = now

    async def _repair(self) -> None:
        # Repeatedly: a former champion's manifest is signed too, and bucket writers could restore it.
        now = time.monotonic()
        if now - self._repaired_at >= REPAIR_EVERY_S:
            await self._registry.repair()
            self._repaired_at = now

    async def _sign(self) -> None:
        before: str | None = None
        written = 0
        while not self._signed:
            async with self._database.session() as session:
                models = await repository.list_models(session, limit=PAGE, before=before)
            for model in models:
                written += await self._registry.sign(model)
                before = model.id
            self._signed = len(models) < PAGE
        if written:
            log.info("manifests are signed", count=written)

    async def _prepare(self) -> None:
        try:
            await self._registry.register_shipped(self._model_dir)
        except BrokenModel as error:
            # The models that are registered already go on; an operator sees this in the log.
            log.error("the shipped model is not registered", error=str(error))  # noqa: TRY400
