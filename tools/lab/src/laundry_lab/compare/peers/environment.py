"""The peers' packages, pinned, in an environment of their own in the cache, made once for these pins."""

import fcntl
import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from laundry.paths import PROJECT
from laundry_servers.errors import LaundryError
from laundry_servers.programs import run, uv
from laundry_servers.progress import Progress, step
from laundry_servers.rootfs import cache_folder

REQUIREMENTS = PROJECT / "tools/lab/peers-requirements.txt"
STEP = "the peers' packages (once for these versions)"
INSTALL_S = 300


def path() -> Path:
    """Return where the environment is, or will be."""
    pins = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache_folder() / f"peers-{pins}"


def python() -> Path:
    """Return the environment's interpreter."""
    return path() / "bin/python"


def version(package: str) -> str:
    """Return the version that is pinned. Raises LookupError."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{REQUIREMENTS.name} pins no {package}")
    return found[1]


def ensure(progress: Progress) -> None:
    """Make the environment where it is missing (85 MB).

    Raises:
        LaundryError: it cannot be made here.
    """
    target = path()
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "peers.lock").open("w") as lock, step(progress, STEP):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _make(target)


def _make(target: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        _uv("venv", "--quiet", "--python", sys.executable, str(draft / "made"))
        interpreter = str(draft / "made/bin/python")
        _uv("pip", "install", "--quiet", "--python", interpreter, "--require-hashes", "-r", str(REQUIREMENTS))
        # Its programs are started as modules, so that it may be moved: whole or not at all.
        (draft / "made").rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _uv(*arguments: str) -> None:
    try:
        run([uv(), *arguments], timeout_s=INSTALL_S)
    except LaundryError as error:
        raise LaundryError(
            f"The peers' packages could not be had from the package registry: {error}\n"
            "Ours alone needs none of them: laundry compare peers --only ours"
        ) from error
