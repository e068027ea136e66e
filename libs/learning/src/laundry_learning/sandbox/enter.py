"""Confines this process, then becomes a program: ``python -m …sandbox.enter RULES program argument …``.

Of the standard library alone: nothing else runs before the process is confined.
"""

import ctypes
import json
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from laundry_learning.sandbox import landlock

NEW_NETWORK = 0x40000000
DROP_FROM_BOUNDING_SET, CAPABILITIES = 24, 64
OPEN_FILES = 512


@dataclass(frozen=True)
class Confinement:
    """What a sandboxed process may do.

    Attributes:
        read: where it may read and run programs; ``write``: where it may write besides.
        file_bytes: the largest file that it may write; ``memory_bytes``: its address space, 0 for any.
    """

    read: Sequence[str]
    write: Sequence[str]
    file_bytes: int
    memory_bytes: int = 0

    def command(self, *program: str) -> list[str]:
        """Return the command that starts a program under these rules."""
        return [sys.executable, "-m", __name__, json.dumps(asdict(self)), *program]


def confine(confinement: Confinement) -> None:
    """Confine this process; it cannot be undone."""
    os.umask(0o077)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: confinement.file_bytes,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }
    if confinement.memory_bytes:
        limits[resource.RLIMIT_AS] = confinement.memory_bytes
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (allowed, allowed))
    if os.geteuid() == 0:
        # Only root may; for others Landlock alone closes TCP.
        libc = ctypes.CDLL(None)
        libc.unshare(NEW_NETWORK)
        # Dropped at exec: some capabilities (PERFMON) bypass Landlock.
        for capability in range(CAPABILITIES):
            libc.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    read, write = ([Path(each) for each in paths] for paths in (confinement.read, confinement.write))
    if not landlock.restrict(read=read, write=write):
        print(
            "the kernel has no Landlock: only a container confines this process",
            file=sys.stderr,
        )


if __name__ == "__main__":
    confine(Confinement(**json.loads(sys.argv[1])))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
