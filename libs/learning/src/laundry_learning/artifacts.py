"""The files beside a model, as its manifest lists them.

``held_out`` judges every descendant and ``rehearsal`` keeps it from forgetting: photos as the last layer sees
them (``laundry_learning.holdout``). ``weights`` are what a fine-tuning starts from
(``laundry_learning.weights``).
"""

import hashlib
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from laundry_reading.manifest import Manifest

Name = Literal["held_out", "rehearsal", "weights"]

HOLDOUT_FIELD: Literal["held_out"] = "held_out"
REHEARSAL_FIELD: Literal["rehearsal"] = "rehearsal"
WEIGHTS_FIELD: Literal["weights"] = "weights"
FIELDS: tuple[Name, ...] = get_args(Name)


class Artifact(BaseModel):
    """A file listed in a manifest; ``version`` is the model that it was made with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]+\.npz$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def key(self) -> str:
        """Key in the object store."""
        return f"models/{self.version}/{self.file}"

    def matches(self, data: bytes) -> bool:
        """Whether these bytes are the file."""
        return hashlib.sha256(data).hexdigest() == self.sha256


def artifact_of(manifest: Manifest, field: Name) -> Artifact | None:
    """Read an entry of a manifest, None if it has none.

    Raises:
        pydantic.ValidationError: there is one, but it is not well-formed.
    """
    value: Any = (manifest.model_extra or {}).get(field)
    return None if value is None else Artifact.model_validate(value)


def held_out_of(manifest: Manifest) -> Artifact | None:
    """Read the entry of the photos that judge; as ``artifact_of``."""
    return artifact_of(manifest, HOLDOUT_FIELD)


def with_artifact(manifest: Manifest, field: Name, entry: Artifact) -> Manifest:
    """Name a file beside the model in its manifest."""
    return Manifest.model_validate({**manifest.model_dump(), field: entry.model_dump()})
