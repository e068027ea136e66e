"""Atomic writes of small files that others read."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any, *, mode: int = 0o600) -> None:
    """Replace a JSON file in one step, as ``write_text`` does."""
    write_text(path, json.dumps(content, indent=2) + "\n", mode=mode)


def write_text(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Replace a file in one step: a reader sees the old or the new content, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        Path(draft).chmod(mode)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any | None:
    """Return a JSON file's content, or None when there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
