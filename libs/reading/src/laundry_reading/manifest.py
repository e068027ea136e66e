"""What is known about a model file; models are checked against it."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Manifest(BaseModel):
    """A model's manifest, stored beside it as `manifest.json`; unknown fields are preserved."""

    model_config = ConfigDict(extra="allow", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    file: str = Field(
        description="Name of the model file, beside the manifest", pattern=r"^[A-Za-z0-9._-]+\.onnx$"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    file_bytes: int = Field(gt=0)
    labels: list[str] = Field(min_length=2)
    input_size: int = Field(ge=16, le=1024, description="Edge of the square the model reads, pixels")
    preprocess_version: str
    threshold: float = Field(ge=0, le=1, description="Least confidence that needs no person")
    metrics: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict, description="What it was made from")
    created_at: AwareDatetime

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read a manifest.

        Raises:
            pydantic.ValidationError: it is not one.
        """
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        """Write it, indented, with a final newline."""
        return self.model_dump_json(indent=2) + "\n"
