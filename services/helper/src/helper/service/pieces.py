"""Photos that come in pieces over a bad line, kept in the object store until they are whole.

What has come is what is listed, so any replica goes on where another stopped.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import IO

from laundry_service.storage.object_store import ObjectMissing, ObjectStore

FOLDER = "uploads/"
_NAME = re.compile(r"(\d{9})-(\d+)$")


class WrongOffset(Exception):
    """A piece does not begin where the one before ended."""

    def __init__(self, received: int) -> None:
        super().__init__(f"{received} bytes were received")
        self.received = received


class TooManyPieces(Exception):
    """The helper has more begun uploads than are kept."""


class Pieces:
    """The begun uploads of all helpers, each named by its helper and Idempotency-Key."""

    def __init__(self, store: ObjectStore, *, helper_bytes: int, keep: timedelta) -> None:
        """Take the store and the limits.

        Args:
            helper_bytes: of all begun uploads of one helper.
            keep: how long after its last piece an upload can go on.
        """
        self._store = store
        self._helper_bytes = helper_bytes
        self._keep = keep

    async def received(self, helper_id: str, key: str) -> int:
        """Count the bytes that have come without a gap.

        Raises:
            ObjectStoreUnavailable.
        """
        found = [name async for name, _ in self._store.listing(_folder(helper_id, key))]
        return sum(length for _, length in _in_order(found))

    async def add(self, helper_id: str, key: str, offset: int, piece: bytes) -> int:
        """Keep a piece; returns how many bytes have come with it.

        Raises:
            WrongOffset, TooManyPieces.
            ObjectStoreUnavailable: sending it again is safe.
        """
        folder = _folder(helper_id, key)
        of_helper = [name async for name, _ in self._store.listing(_folder(helper_id))]
        received = sum(length for _, length in _in_order(each for each in of_helper if folder in each))
        if offset != received:
            raise WrongOffset(received)
        kept = sum(int(match[2]) for match in map(_NAME.search, of_helper) if match)
        if kept + len(piece) > self._helper_bytes:
            raise TooManyPieces
        await self._store.put(
            f"{folder}{offset:09}-{len(piece)}", piece, media_type="application/octet-stream"
        )
        return received + len(piece)

    async def put_together(self, helper_id: str, key: str, into: IO[bytes]) -> int:
        """Write what has come into a file; returns how many bytes.

        Raises:
            ObjectStoreUnavailable.
        """
        found = [name async for name, _ in self._store.listing(_folder(helper_id, key))]
        return await self._copied([name for name, _ in _in_order(found)], into)

    async def copy(self, stored: str, into: IO[bytes]) -> int:
        """Write what is stored under a key into a file; returns how many bytes.

        Raises:
            ObjectStoreUnavailable.
        """
        return await self._copied([stored], into)

    async def _copied(self, names: Iterable[str], into: IO[bytes]) -> int:
        into.seek(0)
        into.truncate()
        size = 0
        for name in names:
            try:
                async for chunk in await self._store.stream(name):
                    size += into.write(chunk)
            except ObjectMissing:
                # Another request has just made the task of it.
                return 0
        into.seek(0)
        return size

    async def drop(self, helper_id: str, key: str) -> None:
        """Delete an upload.

        Raises:
            ObjectStoreUnavailable: some of it is left, until it is too old.
        """
        for name in [name async for name, _ in self._store.listing(_folder(helper_id, key))]:
            await self._store.delete(name)

    async def drop_old(self, now: datetime) -> int:
        """Delete the uploads that nobody has gone on with; returns how many pieces that were.

        Raises:
            ObjectStoreUnavailable.
        """
        before = now - self._keep
        old: list[str] = []
        going_on: set[str] = set()
        async for name, stored_at in self._store.listing(FOLDER):
            if stored_at < before:
                old.append(name)
            else:
                going_on.add(_upload_of(name))
        left = [name for name in old if _upload_of(name) not in going_on]
        for name in left:
            await self._store.delete(name)
        return len(left)


def _folder(helper_id: str, key: str | None = None) -> str:
    names = [hashlib.sha256(name.encode()).hexdigest()[:32] for name in (helper_id, key) if name is not None]
    return f"{FOLDER}{'/'.join(names)}/"


def _upload_of(name: str) -> str:
    return name.rpartition("/")[0]


def _in_order(names: Iterable[str]) -> list[tuple[str, int]]:
    """Return the names of pieces and their lengths, as far as one begins where the one before ended."""
    found: dict[int, tuple[str, int]] = {}
    for name in names:
        if (match := _NAME.search(name)) is not None:
            offset, length = int(match[1]), int(match[2])
            # Of two at one place each is the photo's: a request that was given up, and its repetition.
            if length > found.get(offset, ("", 0))[1]:
                found[offset] = (name, length)
    whole: list[tuple[str, int]] = []
    end = 0
    while end in found:
        whole.append(found[end])
        end += found[end][1]
    return whole
