"""The helper service's settings."""

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from helper.retention import MAX_KEEP_DAYS
from laundry_reading.photo import MAX_BYTES, MAX_PIXELS
from laundry_service.settings import DatabaseSettings, ObjectStoreSettings

GARMENTS = (
    "dress",
    "hat",
    "longsleeve",
    "outwear",
    "pants",
    "shirt",
    "shoes",
    "shorts",
    "skirt",
    "t-shirt",
)


class Settings(DatabaseSettings, ObjectStoreSettings):
    """``LAUNDRY_*`` of the helper."""

    service_name: str = "helper"

    photo_max_bytes: int = Field(default=MAX_BYTES, ge=1, le=MAX_BYTES)
    photo_max_pixels: int = Field(default=MAX_PIXELS, ge=1, le=MAX_PIXELS)
    upload_idle_s: float = Field(
        default=30.0, gt=0, description="Give up an upload that sends nothing so long"
    )
    upload_total_s: float = Field(
        default=1200.0, gt=0, description="Give up an upload after so long: 30 MB at 25 KB/s"
    )
    upload_pieces_bytes: int = Field(
        default=150_000_000, ge=MAX_BYTES, description="Begun uploads of one helper that are kept"
    )
    upload_pieces_keep_s: float = Field(
        default=172_800.0, gt=0, description="How long after its last piece an upload can go on"
    )
    decoder_processes: int = Field(
        default=2, ge=1, le=16, description="Photos decoded at a time, each by a process of its own"
    )
    decoder_waiting: int = Field(default=60, ge=0, description="Photos that may wait for one")
    decoder_patience_s: float = Field(default=60.0, gt=0, description="Longest that decoding one may take")
    decoder_idle_s: float = Field(default=60.0, gt=0, description="A process ends when unused so long")
    same_photo_s: int = Field(
        default=24 * 3600,
        ge=0,
        description="The same photo without an Idempotency-Key is the same task so long",
    )
    retake_within_s: int = Field(
        default=900, ge=0, description="A photo that is not confirmed can be taken again so long"
    )
    labels: Annotated[tuple[str, ...], NoDecode] = Field(
        default=GARMENTS, min_length=1, description="What may be confirmed: the model's classes, by comma"
    )
    time_zone: str = Field(default="Asia/Seoul", description="Whose days the history is told by")
    task_read_prefetch: int = Field(default=50, ge=1)
    housekeeping_every_s: float = Field(default=3600.0, gt=0)
    photo_keep_days: int = Field(
        default=90, ge=1, le=MAX_KEEP_DAYS, description="Of confirmed tasks, unless the branch says otherwise"
    )
    photo_keep_unconfirmed_days: int = Field(
        default=365, ge=1, description="After that a photo is deleted though nobody confirmed it"
    )
    tasks_kept_days: int = Field(
        default=1095,
        ge=366,
        description="Older tasks whose photo is gone are deleted, with their submission keys",
    )
    photo_retention_every_s: float = Field(
        default=3600.0, gt=0, description="How often it is looked which photos are past their time"
    )
    orphans_every_s: float = Field(
        default=6 * 3600.0, gt=0, description="How often the bucket is searched for photos without a task"
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone; examples: Asia/Seoul, Europe/Berlin, UTC")
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(label.strip() for label in value.split(",") if label.strip())
        return value
