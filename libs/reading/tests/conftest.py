"""Makes the helpers beside the tests importable under importlib import mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the committed model."""
    return Path(__file__).parents[3] / "models"
