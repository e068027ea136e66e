"""Programs that are run to their end; a failure is reported with the last lines of their output."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from laundry_servers.errors import LaundryError

LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: str | None = None,
    timeout_s: float = 600,
) -> str:
    """Run a program to its end and return what it printed.

    Args:
        env: variables in addition to those of this process.
        given: its standard input; empty without it.

    Raises:
        LaundryError: it failed, or took longer than ``timeout_s``.
    """
    said = " ".join(str(part) for part in command[:4])
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=given or "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LaundryError(f"{said} took longer than {timeout_s:g} s.") from None
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LINES:])
        raise LaundryError(f"{said} failed ({done.returncode}):\n{tail}")
    return done.stdout


def uv() -> str:
    """Return the path of uv, which ``make setup`` installs. Raises LaundryError."""
    path = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if path is None:
        raise LaundryError("The program uv is missing. Run: make setup")
    return path


def require_program(name: str, *, package: str) -> str:
    """Return the path of a program. Raises LaundryError that names the Debian package to install."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise LaundryError(f"The program {name} is missing. Install it: sudo apt-get install {package}")
    return path
