"""What a confined process is given: an environment without secrets, and the folders it cannot do without."""

import os
import site
import sys
from pathlib import Path

from laundry_learning.sandbox.enter import Confinement

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""Of this process's environment: what any program needs. Everything else stays here."""

SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/proc", "/sys/devices", "/sys/bus/pci", "/sys/fs/cgroup",
    "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/null", "/dev/zero",
)  # fmt: skip
"""Programs, libraries, and what tells of processors. In /proc Landlock hides what other processes hold."""

DEVICES = ("/dev/null", "/dev/shm")  # noqa: S108
WORKER_MEMORY = 4 * 2**30
WORKER_FILES = 2**20
TRAINER_FILES = 4 * 2**30


def environment(threads: int) -> dict[str, str]:
    """Return the environment: what any program needs, and how many threads it may use."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }


def worker_confinement() -> Confinement:
    """Return what the worker may reach: it writes nowhere."""
    return Confinement((*SYSTEM, *_code()), DEVICES[:1], WORKER_FILES, WORKER_MEMORY)


def trainer_confinement(python: Path, folder: Path, data: Path) -> Confinement:
    """Return what the trainer may reach: the training photos to read, its run's folder to write."""
    own = {
        str(place) for each in (python.absolute(), python.resolve()) for place in (each.parent.parent, each)
    }
    read = (*SYSTEM, *_code(), *sorted(own - {"/"}), str(data))
    return Confinement(read, (*DEVICES, str(folder)), TRAINER_FILES)


def _code() -> list[str]:
    """Return where installed code lies, which is less than this process's own ``sys.path``.

    That begins with the folder that a service was started in, and a checkout's holds the stack's passwords.
    """
    places = {Path(sys.prefix), Path(sys.base_prefix)}
    if site.ENABLE_USER_SITE:
        places.add(Path(site.getusersitepackages()))
    for file in (file for each in site.getsitepackages() for file in Path(each).glob("*.pth")):
        # A source tree is installed by naming its src.
        places |= {Path(line).parent for line in file.read_text().splitlines() if line.endswith("/src")}
    return sorted(str(place) for place in places if place.exists() and place != Path("/"))
