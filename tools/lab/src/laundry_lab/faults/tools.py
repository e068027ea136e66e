"""Programs of the system that some faults need, and getting them on Debian and Ubuntu."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

# Debian's package faketime brings the library for the machine's own architecture.
FAKETIME_PATTERN = "*/faketime/libfaketimeMT.so.1"
INSTALL_S = 300


def faketime_library() -> Path | None:
    """Return the library that sets a process's clock off, if it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob(FAKETIME_PATTERN))), None)


@dataclass(frozen=True)
class Tool:
    """A program outside Python: the package that brings it, and whether it is there."""

    package: str
    there: Callable[[], bool]


IPTABLES = Tool("iptables", lambda: shutil.which("iptables") is not None)
FAKETIME = Tool("faketime", lambda: faketime_library() is not None)


def provide(tools: Iterable[Tool], say: Callable[[str], None]) -> None:
    """Install what is missing if this is root on a machine with apt; else say what to run."""
    missing = sorted({tool.package for tool in tools if not tool.there()})
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"Missing: {names}. Run: sudo apt-get install {names}. Faults that need them are not made.")
        return
    say(f"Installing what faults need: apt-get install {names}")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if _ran(install) or (_ran(["apt-get", "update", "-q"]) and _ran(install)):
        return
    say(f"That failed. Run: apt-get install {names}. Faults that need them are not made.")


def _ran(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ran = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, env=environment, timeout=INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0
