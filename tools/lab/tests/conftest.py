"""No test of the lab's commands takes the place of a measurement of the stack that may run beside it."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def var(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stack that no other test has."""
    folder = tmp_path_factory.mktemp("var")
    # PostgreSQL does not run as root, and reads from here.
    folder.chmod(0o755)
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(folder))
    return folder
