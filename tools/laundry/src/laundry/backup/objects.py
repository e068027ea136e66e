"""The bucket of a backup: what was in it, the objects themselves if asked for, and what rows say of it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from laundry.backup import databases
from laundry.backup.manifest import Objects
from laundry.backup.system import Bucket, System
from laundry_servers.errors import LaundryError
from laundry_servers.s3 import s3_client

LIST, FOLDER = "objects.jsonl", "objects"
# Parts of uploads, and pictures, which can be made again, are not compared with rows.
PHOTOS = "photos/"
# What the databases say of objects: key, sha256, bytes.
REFERENCES = {
    "helper": (
        "SELECT photo_key, photo_sha256, photo_bytes::bigint FROM tasks"
        " WHERE photo_gone_at IS NULL AND original_deleted_at IS NULL"
    ),
    "mlops": (
        "SELECT 'models/' || version || '/' || (manifest->>'file'), sha256, (manifest->>'file_bytes')::bigint"
        " FROM models"
    ),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that a database names."""

    key: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What databases and bucket say differently: keys of objects.

    Attributes:
        missing: named by a row, but not in the bucket.
        changed: their size differs from what the row says.
        without_row: photos that no row names, such as those taken after the backup.
    """

    missing: list[str]
    changed: list[str]
    without_row: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.without_row)


@cache
def client(bucket: Bucket) -> Any:
    """Return the one client of a bucket, with timeouts."""
    return s3_client(bucket.endpoint_url, bucket.access_key, bucket.secret_key, retries={"max_attempts": 4})


def listed(bucket: Bucket) -> Iterator[dict[str, Any]]:
    """Yield each object: key, bytes, etag, stored_at. Raises LaundryError."""
    try:
        for page in client(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket.bucket):
            for each in page.get("Contents", []):
                yield {
                    "key": each["Key"],
                    "bytes": each["Size"],
                    "etag": each.get("ETag", "").strip('"'),
                    "stored_at": each["LastModified"].isoformat(),
                }
    except (BotoCoreError, ClientError) as error:
        raise LaundryError(f"The bucket {bucket.bucket} cannot be listed: {error}") from error


def write(bucket: Bucket, folder: Path, known: Mapping[str, Reference], *, copy: bool) -> Objects:
    """Write the list of objects, and with ``copy`` the objects, each once.

    A hash in the list is of the content that was copied, else what the databases say of it.

    Raises:
        LaundryError.
    """
    number = size = 0
    if copy:
        (folder / FOLDER).mkdir()
    with (folder / LIST).open("w", encoding="utf-8") as lines:
        for each in listed(bucket):
            stated = known.get(each["key"])
            entry = {**each, "sha256": stated.sha256 if stated else None}
            if copy:
                copied = _copy(bucket, each["key"], folder / FOLDER)
                if copied is None:
                    continue  # Deleted since it was listed.
                entry |= copied
            lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
            number, size = number + 1, size + entry["bytes"]
    return Objects(number=number, bytes=size, copied=copy)


def _copy(bucket: Bucket, key: str, folder: Path) -> dict[str, Any] | None:
    store = client(bucket)
    try:
        answer = store.get_object(Bucket=bucket.bucket, Key=key)
    except store.exceptions.NoSuchKey:
        return None
    except (BotoCoreError, ClientError) as error:
        raise LaundryError(f"{key} cannot be copied: {error}") from error
    body = answer["Body"].read()
    digest = hashlib.sha256(body).hexdigest()
    file = folder / digest
    if not file.exists():
        file.write_bytes(body)
    return {"sha256": digest, "bytes": len(body), "media_type": answer.get("ContentType")}


def put_back(bucket: Bucket, folder: Path) -> int:
    """Store every copied object that the bucket lacks or has otherwise; return how many.

    Raises:
        LaundryError.
    """
    there = {each["key"]: each["bytes"] for each in listed(bucket)}
    store, number = client(bucket), 0
    for entry in read(folder):
        if there.get(entry["key"]) == entry["bytes"]:
            continue
        body = (folder / FOLDER / entry["sha256"]).read_bytes()
        try:
            store.put_object(
                Bucket=bucket.bucket,
                Key=entry["key"],
                Body=body,
                ContentType=entry.get("media_type") or "application/octet-stream",
            )
        except (BotoCoreError, ClientError) as error:
            raise LaundryError(f"{entry['key']} cannot be put back: {error}") from error
        number += 1
    return number


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a backup's list."""
    with (folder / LIST).open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            yield entry


async def references(system: System) -> dict[str, Reference]:
    """Return what the databases say of objects, by key. Raises LaundryError."""
    found = {}
    for name, query in REFERENCES.items():
        if name in system.databases:
            for key, sha256, size in await databases.rows(system.databases[name], name, query):
                found[key] = Reference(key, sha256, size)
    return found


def disagreement(named: Mapping[str, Reference], there: Iterable[Mapping[str, Any]]) -> Disagreement:
    """Compare the rows with the bucket."""
    sizes = {each["key"]: each["bytes"] for each in there}
    missing = sorted(key for key in named if key not in sizes)
    changed = sorted(key for key, row in named.items() if key in sizes and sizes[key] != row.bytes)
    without = sorted(key for key in sizes if key.startswith(PHOTOS) and key not in named)
    return Disagreement(missing, changed, without)
