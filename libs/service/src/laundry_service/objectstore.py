"""Photos and models in S3, without blocking the event loop."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from laundry_service.settings import ObjectStoreSettings


class ObjectStoreUnavailable(Exception):
    """The object store did not answer, or answered with an error of its own: try again later."""


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectStore:
    """A bucket. Every call has a timeout; nothing is retried here but what botocore retries once."""

    def __init__(self, settings: ObjectStoreSettings, *, threads: int = 8) -> None:
        """Take the address, the bucket and the keys from the settings."""
        self.bucket = settings.s3_bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key.get_secret_value(),
            aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
            config=Config(
                connect_timeout=2,
                read_timeout=10,
                retries={"total_max_attempts": 2, "mode": "standard"},
                max_pool_connections=threads,
                s3={"addressing_style": "path"},
                response_checksum_validation="when_required",
                request_checksum_calculation="when_required",
            ),
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="s3")

    async def _call(self, name: str, **arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: getattr(self._client, name)(**arguments))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey", "NotFound"}:
                raise ObjectMissing(str(arguments.get("Key"))) from error
            raise ObjectStoreUnavailable(f"{name}: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise ObjectStoreUnavailable(f"{name}: {error}") from error

    async def put(self, key: str, body: bytes | IO[bytes], *, media_type: str) -> None:
        """Store an object.

        Raises:
            ObjectStoreUnavailable: it is not known to be stored.
        """
        await self._call("put_object", Bucket=self.bucket, Key=key, Body=body, ContentType=media_type)

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Fetch an object whole.

        Raises:
            ObjectMissing, ObjectStoreUnavailable.
            ValueError: it is larger than ``max_bytes``.
        """
        loop = asyncio.get_running_loop()
        answer = await self._call("get_object", Bucket=self.bucket, Key=key)
        if answer["ContentLength"] > max_bytes:
            answer["Body"].close()
            raise ValueError(f"{key} has {answer['ContentLength']} bytes; at most {max_bytes} are taken")
        try:
            body: bytes = await loop.run_in_executor(self._threads, answer["Body"].read)
        except (BotoCoreError, OSError) as error:
            raise ObjectStoreUnavailable(f"get_object: {error}") from error
        return body

    async def stream(self, key: str, *, chunk_bytes: int = 256 * 1024) -> AsyncIterator[bytes]:
        """Open an object, then yield its bytes as they are taken; memory stays small however large it is.

        Raises:
            ObjectMissing, ObjectStoreUnavailable: before the first byte.
        """
        answer = await self._call("get_object", Bucket=self.bucket, Key=key)
        return self._chunks(answer["Body"], chunk_bytes)

    async def _chunks(self, body: Any, chunk_bytes: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            while chunk := await loop.run_in_executor(self._threads, body.read, chunk_bytes):
                yield chunk
        except (BotoCoreError, OSError) as error:
            raise ObjectStoreUnavailable(f"get_object: {error}") from error
        finally:
            body.close()

    async def listing(self, prefix: str) -> AsyncIterator[tuple[str, datetime]]:
        """Yield each key under a prefix with the time it was stored, a page of 1,000 at a time.

        Raises:
            ObjectStoreUnavailable.
        """
        more: dict[str, str] = {}
        while True:
            page = await self._call("list_objects_v2", Bucket=self.bucket, Prefix=prefix, **more)
            for item in page.get("Contents", []):
                yield item["Key"], item["LastModified"]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is fine."""
        await self._call("delete_object", Bucket=self.bucket, Key=key)

    async def ping(self) -> bool:
        """Ask for the bucket."""
        await self._call("head_bucket", Bucket=self.bucket)
        return True

    async def close(self) -> None:
        """Close the connections once the calls in hand are done."""
        await asyncio.to_thread(self._threads.shutdown, wait=True)
        self._client.close()
