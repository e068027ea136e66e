"""An object store that retries for a while: seconds of outage must not waste minutes of training."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import IO, TypeVar

import structlog

from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

T = TypeVar("T")

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

log = structlog.get_logger(__name__)


class RetryingStore(ObjectStore):
    """Raises ``ObjectStoreUnavailable`` only after ``PAUSES_S``."""

    async def put(self, key: str, body: bytes | IO[bytes], *, media_type: str) -> None:
        """As ``ObjectStore.put``; a file is sent from where it stands."""
        start = None if isinstance(body, bytes) else body.tell()

        async def send() -> None:
            if not isinstance(body, bytes) and start is not None:
                body.seek(start)
            await super(RetryingStore, self).put(key, body, media_type=media_type)

        await _retrying(send)

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Do what ``ObjectStore.get`` does, and try again after an outage."""
        return await _retrying(lambda: super(RetryingStore, self).get(key, max_bytes=max_bytes))


async def _retrying(ask: Callable[[], Awaitable[T]]) -> T:
    for pause in PAUSES_S:
        try:
            return await ask()
        except ObjectStoreUnavailable as error:
            log.warning("the object store is away; asking again", in_s=pause, error=str(error)[:300])
            await asyncio.sleep(pause)
    return await ask()
