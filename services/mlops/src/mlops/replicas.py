"""What each replica reports to serve, in the object store, and which model is the shadow."""

import time
from datetime import datetime, timedelta

import structlog
from pydantic import ValidationError

from laundry_reading.replicas import (
    LOST_AFTER_S,
    MAX_BYTES,
    REPLICAS_PREFIX,
    SHADOW_KEY,
    Serving,
    Shadow,
)
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable

MOST = 200
FORGOTTEN_AFTER = timedelta(hours=1)
CLOCK_FOLDER = "models/clock/"
CLOCK_EVERY_S = 60.0
"""How often the store is asked for its time, while somebody looks; between that this process counts on."""

log = structlog.get_logger(__name__)


class Replicas:
    """Reads the replicas' reports; times are the store's alone, so nobody's clock matters.

    The store is far from this process's clock where either was set by hand: a minute apart, every replica
    would look lost, and an hour apart the reports of all would be deleted.
    """

    def __init__(self, store: ObjectStore) -> None:
        """Take where they write."""
        self._store = store
        self._asked_at: float | None = None
        self._store_had = datetime.min

    async def seen(self, *, now: datetime | None = None) -> list[tuple[Serving, datetime]]:
        """List the replicas that wrote lately, by name, each with when it did. At most 200.

        Those that have not written for an hour are forgotten. ``now`` is the store's time unless given.

        Raises:
            ObjectStoreUnavailable: the store cannot be read.
        """
        now = now or await self._stores_time()
        found: list[tuple[Serving, datetime]] = []
        async for key, written in self._store.listing(REPLICAS_PREFIX):
            if now - written > FORGOTTEN_AFTER:
                await self._store.delete(key)
                continue
            if now - written > timedelta(seconds=LOST_AFTER_S) or len(found) >= MOST:
                continue
            try:
                serving = Serving.model_validate_json(await self._store.get(key, max_bytes=MAX_BYTES))
            except ObjectMissing:
                continue  # it has just left
            except (ValidationError, ValueError) as error:
                log.warning("what a replica says cannot be read", key=key, error=str(error)[:200])
                continue
            found.append((serving, written))
        return sorted(found, key=lambda each: each[0].replica)

    async def _stores_time(self) -> datetime:
        """Return the time by the store's clock, to a second, as it says of what was just stored."""
        counted = time.monotonic()
        if self._asked_at is None or counted - self._asked_at > CLOCK_EVERY_S:
            await self._store.put(f"{CLOCK_FOLDER}now", b"", media_type="text/plain")
            times = [written async for _, written in self._store.listing(CLOCK_FOLDER)]
            if not times:
                raise ObjectStoreUnavailable("what was just stored is not listed")
            self._asked_at, self._store_had = counted, max(times)
        return self._store_had + timedelta(seconds=counted - self._asked_at)

    async def shadow(self) -> Shadow | None:
        """Say which model reads alongside, if any.

        Raises:
            ObjectStoreUnavailable: the store cannot be read.
        """
        try:
            return Shadow.model_validate_json(await self._store.get(SHADOW_KEY, max_bytes=MAX_BYTES))
        except (ObjectMissing, ValidationError, ValueError):
            return None

    async def set_shadow(self, shadow: Shadow | None) -> None:
        """Set or clear the shadow; replicas follow within seconds.

        Raises:
            ObjectStoreUnavailable: it may not be stored.
        """
        if shadow is None:
            await self._store.delete(SHADOW_KEY)
        else:
            body = shadow.model_dump_json().encode()
            await self._store.put(SHADOW_KEY, body, media_type="application/json")
