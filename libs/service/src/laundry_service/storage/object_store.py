"""Photos and models in S3, through obstore: why, and what it costs, is docs/decisions/0027."""

import asyncio
import contextlib
import mmap
import os
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from laundry_service.settings import ObjectStoreSettings
from laundry_service.telemetry.details import asking_store

if TYPE_CHECKING:
    from obstore import BytesStream, GetResult
    from obstore.store import ClientConfig, RetryConfig

CONNECT_S, READ_S = 2, 10
GET_S = 60.0
"""How long fetching an object may take in all: each read of a trickle of bytes is in time."""

PUT_S = 20.0
SLOWEST_BYTES_S = 256 * 1024
"""Storing an object may take ``PUT_S``, and longer the larger it is."""

BROKEN_OFF_PAUSES_S = (0.05, 0.2)
"""How long to wait before an object is asked for again whose answer broke off in the middle."""

RETRY: "RetryConfig" = {
    "max_retries": 1,
    # From the first request on: one that got no answer within READ_S is sent again, once.
    "retry_timeout": timedelta(seconds=1.5 * READ_S),
    "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(milliseconds=200)},
}
MISSING = {"404", "NoSuchKey", "NotFound"}
CODE = re.compile(r"<Code>(\w+)</Code>")
NOTHING = "ping/"


class ObjectStoreUnavailable(Exception):
    """The object store did not answer, or answered with an error of its own: try again later."""


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectStore:
    """A bucket. Every call has a timeout; only what comes back within a second is retried here."""

    def __init__(self, settings: ObjectStoreSettings, *, at_once: int = 8) -> None:
        """Name the bucket of the settings; ``at_once`` objects are fetched or stored at the same time."""
        self._at_once = asyncio.Semaphore(at_once)
        self._bucket = settings.s3_bucket
        self._reading = _open(settings, {"read_timeout": timedelta(seconds=READ_S)})
        # The time to the answer, which a read timeout limits, contains the upload: ``put`` sets its own.
        self._writing = _open(settings, {})

    async def put(self, key: str, body: bytes | IO[bytes], *, media_type: str) -> None:
        """Store an object; a file from its present position on.

        Raises:
            ObjectStoreUnavailable: it may not be stored.
        """
        content = body if isinstance(body, bytes) else _left_in(body)
        try:
            async with asyncio.timeout(PUT_S + len(content) / SLOWEST_BYTES_S), self._at_once:
                with asking_store("PutObject", self._bucket):
                    await obstore.put_async(
                        self._writing,
                        key,
                        content,
                        attributes={"Content-Type": media_type},
                        # The parts of an aborted upload would stay in the bucket.
                        use_multipart=False,
                    )
        except TimeoutError:
            raise ObjectStoreUnavailable(f"put: {key} was not stored in time") from None
        except (BaseError, OSError) as error:
            raise ObjectStoreUnavailable(_told("put", error)) from error

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Fetch an object whole.

        Raises:
            ObjectMissing, ObjectStoreUnavailable.
            ValueError: it is larger than ``max_bytes``.
        """
        try:
            async with asyncio.timeout(GET_S), self._at_once:
                with asking_store("GetObject", self._bucket):
                    return await self._whole(key, max_bytes)
        except TimeoutError:
            raise ObjectStoreUnavailable(f"get: {key} was not fetched within {GET_S:g} s") from None
        except (BaseError, OSError) as error:
            raise _failure("get", key, error) from error

    async def _whole(self, key: str, max_bytes: int) -> bytes:
        for pause in BROKEN_OFF_PAUSES_S:
            found = await self._found(key, max_bytes)
            with contextlib.suppress(BaseError):
                return (await found.bytes_async()).to_bytes()
            await asyncio.sleep(pause)
        return (await (await self._found(key, max_bytes)).bytes_async()).to_bytes()

    async def _found(self, key: str, max_bytes: int) -> "GetResult":
        found = await obstore.get_async(self._reading, key)
        size = found.meta["size"]
        if size > max_bytes:
            raise ValueError(f"{key} has {size} bytes; at most {max_bytes} are taken")
        return found

    async def stream(self, key: str, *, chunk_bytes: int = 256 * 1024) -> AsyncIterator[bytes]:
        """Open an object, then yield its bytes as they are taken; memory stays small however large it is.

        Raises:
            ObjectMissing, ObjectStoreUnavailable: before the first byte.
        """
        try:
            with asking_store("GetObject", self._bucket):
                found = await obstore.get_async(self._reading, key)
        except (BaseError, OSError) as error:
            raise _failure("get", key, error) from error
        return _chunks(found.stream(min_chunk_size=chunk_bytes))

    async def listing(self, folder: str) -> AsyncIterator[tuple[str, datetime]]:
        """Yield each key under a folder with the time it was stored, a page of 1,000 at a time.

        Raises:
            ObjectStoreUnavailable.
        """
        try:
            async for page in obstore.list(self._reading, folder, chunk_size=1000):
                for item in page:
                    yield item["path"], item["last_modified"]
        except (BaseError, OSError) as error:
            raise ObjectStoreUnavailable(_told("list", error)) from error

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is fine."""
        try:
            with asking_store("DeleteObject", self._bucket):
                await obstore.delete_async(self._reading, key)
        except (BaseError, OSError) as error:
            raise ObjectStoreUnavailable(_told("delete", error)) from error

    async def ping(self) -> bool:
        """Check that the bucket is reachable."""
        return [key async for key, _ in self.listing(NOTHING)] == []


def _open(settings: ObjectStoreSettings, client: "ClientConfig") -> S3Store:
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        client["root_certificate"] = Path(bundle).read_bytes()
    return S3Store(
        settings.s3_bucket,
        endpoint=settings.s3_endpoint_url or f"https://s3.{settings.s3_region}.amazonaws.com",
        region=settings.s3_region,
        access_key_id=settings.s3_access_key.get_secret_value(),
        secret_access_key=settings.s3_secret_key.get_secret_value(),
        virtual_hosted_style_request=False,
        # Every reader compares the sha256 that stands beside the key.
        unsigned_payload=True,
        # One DELETE, which every store knows, in place of the bulk call.
        disable_bulk_delete=True,
        # A phone on a slow line takes minutes for what is streamed to it.
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(hours=1),
            **client,
        },
        retry_config=RETRY,
    )


async def _chunks(body: "BytesStream") -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
            yield chunk
    except (BaseError, OSError) as error:
        raise ObjectStoreUnavailable(_told("get", error)) from error


def _failure(what: str, key: str, error: Exception) -> Exception:
    """A bucket that is missing is 404 too, and no reason to say that a photo is lost."""
    found = CODE.search(str(error))
    if isinstance(error, FileNotFoundError) and (found[1] if found else "404") in MISSING:
        return ObjectMissing(key)
    return ObjectStoreUnavailable(_told(what, error))


def _told(what: str, error: Exception) -> str:
    """Name the error in a line, without the structures that obstore prints below it."""
    return f"{what}: {str(error).partition(chr(10) * 2 + 'Debug source')[0][:500]}"


def _left_in(file: IO[bytes]) -> bytes | memoryview:
    """Bytes from the present position to the end; those of a file on disk are not read into memory."""
    try:
        number = file.fileno()
    except OSError:
        return file.read()
    file.flush()
    if os.fstat(number).st_size <= file.tell():
        return b""
    return memoryview(mmap.mmap(number, 0, access=mmap.ACCESS_READ))[file.tell() :]
