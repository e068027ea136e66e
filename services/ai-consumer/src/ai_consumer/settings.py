"""Settings of the AI consumer."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import NoDecode

from laundry_reading.signing import PublicKeyTexts
from laundry_service.settings import ObjectStoreSettings


class Settings(ObjectStoreSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "ai-consumer"
    model_dir: Path = Field(
        description="Folder of the model that ships with the code: manifest.json and file"
    )
    model_public_keys: Annotated[PublicKeyTexts, NoDecode] = Field(
        default=(), description="Keys whose signatures on models count, by commas; at least one"
    )
    prefetch: int = Field(default=8, ge=1, le=100, description="Tasks taken from the broker at a time")
    photos_in_memory: int = Field(
        default=3, ge=1, le=16, description="Photos held at a time: one is read while the next are fetched"
    )
    champion_poll_s: float = Field(
        default=5.0, gt=0, description="How often to look for a new champion when no event told of one"
    )
