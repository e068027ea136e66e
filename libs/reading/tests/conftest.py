"""The committed model, which these tests read with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the committed model."""
    return Path(__file__).parents[3] / "models"
