"""Reconciles what lies in the store with the registry: the shipped model is known, manifests are right and
signed, promotions announced; and keeps the inbox short.
"""

import asyncio
import contextlib
import math
import time
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_events.inbox import forget_old
from laundry_service.database import Database
from laundry_service.objectstore import ObjectStoreUnavailable
from mlops import repository
from mlops.service.registry import BrokenModel, Registry

RETRY_S = 2.0
POLL_S = 5.0
FORGET_EVERY_S = 3600.0
REPAIR_EVERY_S = 60.0
PAGE = 100

log = structlog.get_logger(__name__)


class Reconciler:
    """Works in the background until it has succeeded, since database and object store may be away."""

    def __init__(self, registry: Registry, database: Database, model_dir: Path, *, signed_by: str) -> None:
        """Take the registry, its database, the folder of the shipped model and the signing key's name."""
        self._registry = registry
        self._signed_by = signed_by
        self._database = database
        self._model_dir = model_dir
        self._prepared = False
        self._forgot_at = self._repaired_at = -math.inf
        self._signed = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        log.info("models are signed", key=self._signed_by)
        self._task = asyncio.create_task(self._run(), name="registry-reconciler")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def ready(self) -> bool:
        """Whether the shipped model is registered and the manifest was looked at."""
        return self._prepared

    async def _run(self) -> None:
        while True:
            try:
                if not self._prepared:
                    await self._prepare()
                await self._repair()
                self._prepared = True
                await self._registry.announce()
                await self._sign()
                await self._forget()
                pause_s = POLL_S
            except (ObjectStoreUnavailable, SQLAlchemyError, OSError) as error:
                log.warning(
                    "the registry waits for its servers", error=f"{type(error).__name__}: {error}"[:300]
                )
                pause_s = RETRY_S
            except Exception:
                log.exception("the registry could not be kept")
                pause_s = POLL_S
            await asyncio.sleep(pause_s)

    async def _forget(self) -> None:
        now = time.monotonic()
        if now - self._forgot_at < FORGET_EVERY_S:
            return
        async with self._database.transaction() as session:
            await forget_old(session)
        self._forgot_at = now

    async def _repair(self) -> None:
        # Again and again: a former champion's manifest is signed too, and could be put back by anybody.
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
