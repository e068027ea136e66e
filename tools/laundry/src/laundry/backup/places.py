"""Where backups are kept: a folder or a prefix of a bucket. Backups are listed once they are complete."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from laundry.backup import manifest as manifests
from laundry.backup.drafts import DRAFT, claimed
from laundry.backup.manifest import Entry, Manifest
from laundry_servers.errors import LaundryError

ID = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
# A place beside the bucket of photos, at a provider of its own or not.
ENDPOINT_VARIABLE = "LAUNDRY_BACKUP_S3_ENDPOINT_URL"
# What has no manifest after so long is no backup that is still being stored.
ABANDONED_AFTER = timedelta(days=7)


class Place(Protocol):
    """Somewhere to keep backups."""

    def entries(self) -> list[Entry]:
        """Return every backup, the newest first; also those that cannot be used."""

    def unfinished(self) -> list[str]:
        """Return what has no manifest and is removed by nothing else: it is being stored, or was given up."""

    def draft(self, name: str, scratch: Path) -> AbstractContextManager[Path]:
        """Yield an empty folder to write a backup into, until it is kept or the block fails."""

    def keep(self, draft: Path, manifest: Manifest) -> None:
        """Store a finished backup, which makes it listed."""

    def fetch(self, name: str, scratch: Path) -> Path:
        """Return a folder with a backup's files. Raises LaundryError when there is none of this name."""

    def remove(self, name: str) -> None:
        """Remove a backup; the first step takes it off the list."""


class Folder:
    """A folder of this machine, or a volume that is mounted here."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def __str__(self) -> str:
        return str(self.path)

    def entries(self) -> list[Entry]:
        """Return every backup, the newest first."""
        if not self.path.is_dir():
            return []
        names = sorted((each.name for each in self.path.iterdir() if ID.fullmatch(each.name)), reverse=True)
        return [_entry(name, self._text(name), f"{self.path}/{name}") for name in names]

    def unfinished(self) -> list[str]:
        """Return nothing: drafts have other names, and the next backup removes them."""
        return []

    @contextmanager
    def draft(self, name: str, scratch: Path) -> Iterator[Path]:
        """Yield a folder beside the backups: renaming it is one step. Drafts that nobody writes go."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileExistsError, NotADirectoryError) as error:
            raise LaundryError(
                f"{self} is no folder, and none can be made there. Name another: --at"
            ) from error
        with claimed(self.path, name) as made:
            yield made

    def keep(self, draft: Path, manifest: Manifest) -> None:
        """Write the manifest, then give the folder its name."""
        manifests.write(draft, manifest)
        _to_disk(draft)
        draft.rename(self.path / manifest.id)
        _sync(self.path)

    def fetch(self, name: str, scratch: Path) -> Path:
        """Return the backup's own folder."""
        found = self.path / name
        if not ID.fullmatch(name) or not (found / manifests.NAME).is_file():
            raise LaundryError(f"There is no backup {name} in {self}. There are: laundry backup list")
        return found

    def remove(self, name: str) -> None:
        """Rename it first, then remove it: if interrupted, what is left is a draft and not a backup."""
        gone = self.path / f"{DRAFT}{name}"
        # Another command may remove it at the same time.
        with suppress(FileNotFoundError):
            (self.path / name).rename(gone)
            shutil.rmtree(gone)

    def _text(self, name: str) -> bytes | None:
        file = self.path / name / manifests.NAME
        return file.read_bytes() if file.is_file() else None


class S3:
    """A prefix of a bucket, with the keys and the region that AWS's own variables give."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix.strip("/")
        self.client = _client(os.environ.get(ENDPOINT_VARIABLE) or None)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def entries(self) -> list[Entry]:
        """Return every backup, the newest first: what has a manifest, which is stored last."""
        names = sorted({key.split("/")[0] for key in self._keys("") if ID.match(key)}, reverse=True)
        found = ((name, self._text(name)) for name in names)
        return [_entry(name, text, f"{self}/{name}") for name, text in found if text is not None]

    def unfinished(self) -> list[str]:
        """Return the names under which files are stored, and no manifest."""
        keys = self._keys("")
        names = {key.split("/")[0] for key in keys}
        whole = {name for name in names if f"{name}/{manifests.NAME}" in keys}
        return sorted((name for name in names - whole if ID.fullmatch(name)), reverse=True)

    @contextmanager
    def draft(self, name: str, scratch: Path) -> Iterator[Path]:
        """Yield a folder on this machine, which goes with ``scratch``."""
        made = scratch / name
        made.mkdir(mode=0o700)
        yield made

    def keep(self, draft: Path, manifest: Manifest) -> None:
        """Store each file, then the manifest."""
        manifests.write(draft, manifest)
        for name in [*manifest.files, manifests.NAME]:
            with self._said(f"{manifest.id}/{name}"):
                self.client.upload_file(str(draft / name), self.bucket, self._key(f"{manifest.id}/{name}"))

    def fetch(self, name: str, scratch: Path) -> Path:
        """Copy a backup to this machine."""
        text = self._text(name) if ID.fullmatch(name) else None
        if text is None:
            raise LaundryError(
                f"There is no backup {name} in {self}. There are: laundry backup list --at {self}"
            )
        folder = scratch / name
        folder.mkdir(mode=0o700)
        (folder / manifests.NAME).write_bytes(text)
        for each in manifests.parse(text, where=f"{self}/{name}").files:
            target = (folder / each).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise LaundryError(f"The backup {name} names a file outside its folder: {each}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._said(f"{name}/{each}"):
                self.client.download_file(self.bucket, self._key(f"{name}/{each}"), str(target))
        return folder

    def remove(self, name: str) -> None:
        """Remove the manifest first, then the rest."""
        keys = self._keys(f"{name}/")
        for key in sorted(keys, key=lambda key: not key.endswith(f"/{manifests.NAME}")):
            with self._said(key):
                self.client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def _text(self, name: str) -> bytes | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(f"{name}/{manifests.NAME}"))
            found: bytes = answer["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise LaundryError(f"{self}: {error}") from error
        return found

    def _keys(self, under: str) -> list[str]:
        start = self._key("")
        with self._said(under):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(under)
            )
            return [each["Key"].removeprefix(start) for page in pages for each in page.get("Contents", [])]

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _said(self, what: str) -> "_Said":
        return _Said(f"{self}/{what}")


def _client(endpoint_url: str | None) -> Any:
    config = Config(
        connect_timeout=5, read_timeout=60, retries={"max_attempts": 4}, s3={"addressing_style": "path"}
    )
    try:
        return boto3.client("s3", endpoint_url=endpoint_url, config=config)
    except ValueError as error:
        raise LaundryError(
            f"{ENDPOINT_VARIABLE} is an address, https://host, not {endpoint_url!r}."
        ) from error
    except BotoCoreError as error:
        raise LaundryError(f"The bucket cannot be used: {error}") from error


class _Said:
    """Turns errors of S3 into a sentence."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BotoCoreError | ClientError | boto3.exceptions.Boto3Error):
            raise LaundryError(f"{self.where}: {error}") from error


def place(at: str | Path) -> Folder | S3:
    """Return the place that ``--at`` names. Raises LaundryError."""
    text = str(at)
    if "://" not in text:
        return Folder(Path(text).expanduser())
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc:
        raise LaundryError(f"--at is a folder or s3://bucket/prefix, not {text!r}.")
    return S3(parts.netloc, parts.path)


def newest(kept: Folder | S3) -> str:
    """Return the newest backup that can be used. Raises LaundryError when there is none."""
    for entry in kept.entries():
        if entry.manifest is not None:
            return entry.id
    raise LaundryError(f"There is no backup in {kept}. Make one: laundry backup create")


def prune(kept: Folder | S3, keep: int, now: datetime | None = None) -> Sequence[str]:
    """Remove all but the newest ``keep`` backups that can be used, and what was given up; return both."""
    usable = [entry.id for entry in kept.entries() if entry.manifest is not None]
    # Names sort as backups were begun.
    before = manifests.new_id((now or datetime.now(UTC)) - ABANDONED_AFTER)
    removed = [*usable[keep:], *(name for name in kept.unfinished() if name < before)]
    for name in removed:
        kept.remove(name)
    return removed


def _entry(name: str, text: bytes | None, where: str) -> Entry:
    if text is None:
        return Entry(name, None, f"it has no {manifests.NAME}")
    try:
        found = manifests.parse(text, where=where)
    except LaundryError as error:
        return Entry(name, None, str(error))
    return Entry(name, found)


def _to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
