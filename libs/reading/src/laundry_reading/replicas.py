"""What each replica says it serves, in the object store; writer and reader share this format.

A replica needs no address, no database and no right at the broker to be seen: it keeps one small object, and
the store's own clock tells how long ago it was written.
"""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

REPLICAS_PREFIX = "replicas/"

SHADOW_KEY = "models/shadow.json"
"""Which model reads alongside the champion, if any; see ``Shadow``."""

EVERY_S = 10.0
"""How often a replica writes, seconds; at once when something changed."""

LOST_AFTER_S = 45.0
"""A replica that has not written for so long is not seen any more."""

MAX_BYTES = 16 * 1024


class Refused(BaseModel):
    """A champion that a replica does not take."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(max_length=64)
    why: str = Field(max_length=500)


class Shadowed(BaseModel):
    """What a replica has read alongside with this model: photos, and how many first guesses agreed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(max_length=64)
    photos: int = Field(ge=0)
    agreed: int = Field(ge=0)


class Serving(BaseModel):
    """What a replica serves."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    replica: str = Field(pattern=r"^[A-Za-z0-9._-]{1,120}$")
    version: str | None = Field(max_length=64)
    sha256: str | None = None
    since: AwareDatetime | None = None
    refused: Refused | None = None
    shadow: Shadowed | None = None

    @property
    def key(self) -> str:
        """Its key in the object store."""
        return f"{REPLICAS_PREFIX}{self.replica}.json"


class Shadow(BaseModel):
    """Which model reads alongside, by its manifest's key, and of which share of the photos, 0..1."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    share: float = Field(gt=0, le=1)
