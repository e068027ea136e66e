"""Running programs whose failure is told with the end of what they said."""

import os
import subprocess
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
        env: variables besides those of this process.
        given: what it reads from its standard input.

    Raises:
        LaundryError: it failed, or took longer than ``timeout_s``.
    """
    said = " ".join(str(part) for part in command[:4])
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=given,
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
