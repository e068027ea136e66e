"""Where models lie in the object store: who writes them and who reads them agree here."""

from __future__ import annotations

from laundry_reading.manifest import Manifest

CHAMPION_KEY = "models/champion.json"
"""Manifest of the model that every replica is to serve; the truth for one that starts."""

MAX_MANIFEST_BYTES = 256 * 1024
"""Largest manifest read, bytes."""

MAX_MODEL_BYTES = 64 * 1024 * 1024
"""Largest model file read, bytes (the shipped one stays below 10 MB)."""


def model_key(manifest: Manifest) -> str:
    """Key of a model file."""
    return f"models/{manifest.version}/{manifest.file}"


def manifest_key(version: str) -> str:
    """Key of a model's own manifest."""
    return f"models/{version}/manifest.json"
