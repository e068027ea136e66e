"""Secrets in files, each by the name of its variable, as Compose mounts them: no inspection shows these."""

import os
from pathlib import Path

FOLDER = Path("/run/secrets")


def folder() -> Path | None:
    """Return where they lie, None where there are none."""
    return FOLDER if FOLDER.is_dir() else None


def given(name: str) -> str | None:
    """Return a variable of the environment, else what its file says; None where there is neither."""
    if value := os.environ.get(name):
        return value
    file = FOLDER / name
    return file.read_text().strip() if file.is_file() else None
