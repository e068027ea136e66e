"""What a backup says about itself, and whether it is complete and ours."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json

KIND = "smart-fitness-laundry backup"
FORMAT = 1
NAME = "manifest.json"
CHUNK_BYTES = 1024 * 1024


class File(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class Objects(BaseModel):
    """The bucket as it was listed.

    Attributes:
        copied: whether the objects themselves are in the backup, and not only their names, sizes and times.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    bytes: int
    copied: bool


class Manifest(BaseModel):
    """A whole backup; written last.

    Attributes:
        id: its name, which sorts by time.
        held_at: the moment that the databases are of, all of them.
        finished_at: when the last file was written.
        version: version of the command that made it.
        revisions: the newest migration of each database.
        under_way: messages by queue that were in no database at that moment, so that no restore brings them
            back. Empty is the usual case.
        dead_letters: by queue; they are in a file of their own.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    format: int
    id: str
    held_at: datetime
    finished_at: datetime
    version: str
    revisions: dict[str, str]
    under_way: dict[str, int]
    dead_letters: dict[str, int]
    objects: Objects
    files: dict[str, File]

    @property
    def total_bytes(self) -> int:
        """How large it is, without this manifest."""
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """A place's backup as a list shows it; one that cannot be used says why."""

    id: str
    manifest: Manifest | None
    why_not: str = ""


def new_id(now: datetime) -> str:
    """Name a backup by its time, so that names sort as backups were made."""
    return f"{now.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}"


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes a backup of the files in the folder."""
    write_json(folder / NAME, manifest.model_dump(mode="json"))


def parse(text: str | bytes, *, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        LaundryError: it is damaged, of another program, or of a newer version of this one.
    """
    try:
        found: Any = json.loads(text)
    except ValueError:
        raise LaundryError(f"{where}: its {NAME} is damaged: it is no JSON.") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise LaundryError(f"{where} is no backup of this system.")
    made_by = found.get("format")
    if not isinstance(made_by, int) or made_by > FORMAT:
        raise LaundryError(
            f"{where} was made by a newer version (format {made_by}, this one reads up to {FORMAT})."
            " Use that one."
        )
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        raise LaundryError(
            f"{where}: its {NAME} is damaged: {error.error_count()} fields are wrong."
        ) from None


def check(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises LaundryError: one is missing or changed."""
    for name, expected in manifest.files.items():
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise LaundryError(f"The backup {manifest.id} names a file outside its folder: {name}")
        if not file.is_file():
            raise LaundryError(f"The backup {manifest.id} is damaged: {name} is missing.")
        if described(file) != expected:
            raise LaundryError(f"The backup {manifest.id} is damaged: {name} is not what was written.")


def described(file: Path) -> File:
    """Return a file's size and hash."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return File(bytes=file.stat().st_size, sha256=digest.hexdigest())


def files_of(folder: Path) -> dict[str, File]:
    """Describe every file of a backup but its manifest, by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): described(path) for path in found}


@contextmanager
def private() -> Iterator[None]:
    """Make every file written within the block readable by its owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
