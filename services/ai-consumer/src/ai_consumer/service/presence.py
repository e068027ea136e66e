"""Publishes what this replica serves: one small object in the store, rewritten on each change."""

import asyncio
import contextlib
import re
import socket
import time

import structlog

from ai_consumer.service.champion import Champion
from ai_consumer.service.shadow import ShadowReader
from laundry_reading.replicas import EVERY_S, Refused, Serving
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

LOOK_EVERY_S = 1.0
LEAVE_WITHIN_S = 2.0

log = structlog.get_logger(__name__)


def replica_name(port: int) -> str:
    """Name this process: the host (in a cluster the pod) and its port."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', socket.gethostname())[:100]}-{port}"


class Presence:
    """Best effort: an unavailable store delays the report, never a reading."""

    def __init__(
        self,
        store: ObjectStore,
        champion: Champion,
        shadow: ShadowReader,
        *,
        name: str,
        every_s: float = EVERY_S,
    ) -> None:
        """Take what is told, and the name under which."""
        self._store = store
        self._champion = champion
        self._shadow = shadow
        self._name = name
        self._every_s = every_s
        self._told: Serving | None = None
        self._told_at = 0.0
        self._well = True
        # Wait for a write in progress: it would recreate the object after its deletion.
        self._telling = BackgroundTask(
            "presence", self._tell, every_s=LOOK_EVERY_S, finish_within_s=LEAVE_WITHIN_S
        )

    async def start(self) -> None:
        """Report in the background: now, on each change, and every ``every_s``."""
        self._told = None
        await self._telling.start()

    async def stop(self) -> None:
        """Stop and delete the object, so that a replica that shut down cleanly is not missed."""
        if not self._telling.started:
            return
        await self._telling.stop()
        with contextlib.suppress(ObjectStoreUnavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await self._store.delete(self.serving().key)

    def serving(self) -> Serving:
        """Return what this replica serves and refuses now."""
        served, refused = self._champion.served, self._champion.refused
        return Serving(
            replica=self._name,
            version=served.model.version if served else None,
            sha256=served.manifest.sha256 if served else None,
            since=served.since if served else None,
            refused=Refused(version=refused.version[:64], why=refused.why[:500]) if refused else None,
            shadow=self._shadow.tally,
        )

    async def _tell(self) -> None:
        now, told = self.serving(), self._told
        # Changed counts alone wait for the next regular report.
        changed = told is None or now.model_copy(update={"shadow": told.shadow}) != told
        if not changed and time.monotonic() - self._told_at < self._every_s:
            return
        try:
            body = now.model_dump_json().encode()
            await self._store.put(now.key, body, media_type="application/json")
            self._told, self._told_at, self._well = now, time.monotonic(), True
        except ObjectStoreUnavailable as error:
            if self._well:
                log.warning("cannot say what this replica serves", error=str(error))
            self._well = False
