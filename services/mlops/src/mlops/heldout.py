"""What a manifest says of the photos that ship with a model as its last layer sees them.

``held_out`` judges every descendant, ``rehearsal`` keeps it from forgetting (``mlops.refit.held_out``).
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from laundry_reading.manifest import Manifest

MANIFEST_FIELD: Literal["held_out"] = "held_out"
REHEARSAL_FIELD: Literal["rehearsal"] = "rehearsal"
FIELDS: tuple[Literal["held_out"], Literal["rehearsal"]] = (MANIFEST_FIELD, REHEARSAL_FIELD)


class Entry(BaseModel):
    """What a manifest says of a file; ``version`` is the model that it was made with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]+\.npz$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def key(self) -> str:
        """Key in the object store."""
        return f"models/{self.version}/{self.file}"


def entry_of(manifest: Manifest, field: Literal["held_out", "rehearsal"]) -> Entry | None:
    """Read an entry of a manifest, None if it has none.

    Raises:
        pydantic.ValidationError: there is one, but it is not well-formed.
    """
    value: Any = (manifest.model_extra or {}).get(field)
    return None if value is None else Entry.model_validate(value)


def held_out_of(manifest: Manifest) -> Entry | None:
    """Read the entry of the photos that judge; as ``entry_of``."""
    return entry_of(manifest, MANIFEST_FIELD)
