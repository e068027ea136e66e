"""What a manifest says of the held-out photos that ship with a model (``mlops.refit.held_out``)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from laundry_reading.manifest import Manifest

MANIFEST_FIELD = "held_out"


class Entry(BaseModel):
    """What a manifest says of the file; ``version`` is the model that it was made with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]+\.npz$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def key(self) -> str:
        """Key in the object store."""
        return f"models/{self.version}/{self.file}"


def held_out_of(manifest: Manifest) -> Entry | None:
    """Read the entry of a manifest, None if it has none.

    Raises:
        pydantic.ValidationError: there is one, but it is not well-formed.
    """
    value: Any = (manifest.model_extra or {}).get(MANIFEST_FIELD)
    return None if value is None else Entry.model_validate(value)
