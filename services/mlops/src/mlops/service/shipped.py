"""The model that ships with the code: a folder with its manifest and its files."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from laundry_learning.artifacts import FIELDS, artifact_of
from laundry_reading.manifest import Manifest
from mlops.models import BrokenModel, RegisteredModel


def read_shipped(folder: Path) -> tuple[Manifest, bytes, dict[str, bytes]]:
    """Read manifest, file and, by key, what belongs beside it. Raises BrokenModel."""
    try:
        manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
        file = (folder / manifest.file).read_bytes()
        entries = [entry for field in FIELDS if (entry := artifact_of(manifest, field)) is not None]
        beside = {entry.key: (folder / entry.file).read_bytes() for entry in entries}
    except (OSError, ValidationError) as error:
        raise BrokenModel(f"There is no whole model in {folder}: {error}") from error
    if hashlib.sha256(file).hexdigest() != manifest.sha256:
        raise BrokenModel(f"The file {manifest.file} in {folder} is not what its manifest says.")
    return manifest, file, beside


def same_file(known: RegisteredModel | None, manifest: Manifest) -> None:
    """Check that the registered model of this version, if any, is this file. Raises BrokenModel."""
    if known is not None and known.sha256 != manifest.sha256:
        raise BrokenModel(f"The shipped model {manifest.version} has another hash than the registered one.")
