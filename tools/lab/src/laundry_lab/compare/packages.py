"""Packages that only a comparison needs: pinned, in a folder of the cache, in nobody's environment."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from laundry_servers.errors import LaundryError
from laundry_servers.programs import run, uv
from laundry_servers.rootfs import cache_folder

INSTALL_S = 300


def provided(requirements: Path) -> Path:
    """Return a folder with what a file of pinned requirements names, installing it where it is missing.

    Raises:
        LaundryError: it cannot be installed here.
    """
    kept = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    target = cache_folder() / f"{requirements.stem}-{kept}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        _install(requirements, draft)
        # Whole or not at all; whoever was quicker has put the same there.
        if not target.is_dir():
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def with_packages(folder: Path) -> Mapping[str, str]:
    """Return the environment of a process that finds the packages of ``folder`` before its own."""
    further = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{further}" if further else str(folder)}


def _install(requirements: Path, folder: Path) -> None:
    command: list[str | Path] = [uv(), "pip", "install", "--quiet", "--python", sys.executable]
    try:
        run([*command, "--target", folder, "--require-hashes", "-r", requirements], timeout_s=INSTALL_S)
    except LaundryError as error:
        raise LaundryError(f"{requirements.name} cannot be installed here: {error}") from error
