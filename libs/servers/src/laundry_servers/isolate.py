"""Run a program of the RabbitMQ root file system with this machine's own kernel, network and data folders.

Its libraries come from the root file system, so the machine's libc is never touched. The program lives in a
process namespace of its own: when its wrapper dies, the kernel kills everything in it.
"""

import functools
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from laundry_servers.errors import LaundryError
from laundry_servers.programs import require_program

MERGED = ("bin", "lib", "lib64", "sbin")
# What a program is told that its machine is called. RabbitMQ looks its machine up many times as it starts:
# where no name server answers, that took 24 s. This name stands in the root file system's own /etc/hosts.
HOST = "localhost"


def command(
    root: Path, arguments: Sequence[str], *, environment: Mapping[str, str], folders: Sequence[Path]
) -> list[str]:
    """Return the command that runs ``arguments`` inside ``root``; ``folders`` keep their own paths."""
    if bubblewrap_works():
        return _bubblewrap(root, arguments, environment, folders)
    if os.geteuid() == 0:
        return _chroot(root, arguments, environment, folders)
    raise LaundryError(
        "Neither bubblewrap with user namespaces nor root is available here. "
        "Install it (sudo apt-get install bubblewrap), or use --servers docker or --servers given."
    )


@functools.cache
def bubblewrap_works() -> bool:
    """Whether bwrap may make namespaces here (containers and hardened kernels often forbid it)."""
    try:
        probe = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
                 "--unshare-pid", "--unshare-uts", "true"]  # fmt: skip
        return subprocess.run(probe, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _links(root: Path) -> list[tuple[str, str]]:
    return [(str((root / name).readlink()), f"/{name}") for name in MERGED if (root / name).is_symlink()]


def _bubblewrap(
    root: Path, arguments: Sequence[str], environment: Mapping[str, str], folders: Sequence[Path]
) -> list[str]:
    # The root is a tmpfs with the tree's folders bound read-only: our folders get their mount points there.
    line = [
        require_program("bwrap", package="bubblewrap"),
        "--die-with-parent",
        "--unshare-pid",
        *("--unshare-uts", "--hostname", HOST),
        "--clearenv",
    ]
    for name in ("usr", "etc"):
        line += ["--ro-bind", str(root / name), f"/{name}"]
    for target, link in _links(root):
        line += ["--symlink", target, link]
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--dir", "/var/lib"]  # noqa: S108
    for folder in folders:
        line += ["--bind", str(folder), str(folder)]
    for name, value in environment.items():
        line += ["--setenv", name, value]
    return [*line, "--", *arguments]


def _chroot(
    root: Path, arguments: Sequence[str], environment: Mapping[str, str], folders: Sequence[Path]
) -> list[str]:
    quote = shlex.quote
    new = "/mnt"
    steps = [
        "set -e",
        f"mount -t tmpfs -o mode=755 laundry {new}",
        f"mkdir -p {new}/proc {new}/dev {new}/tmp {new}/run",  # noqa: S108 - the private root's own
    ]
    # Without the name it is only slower.
    steps += [f"chmod 1777 {new}/tmp", f"hostname {HOST} || true"]  # noqa: S108
    steps += [f"mount --rbind /dev {new}/dev", f"mount -t proc proc {new}/proc"]
    for name in ("usr", "etc"):
        steps += [f"mkdir -p {new}/{name}", f"mount --bind {quote(str(root / name))} {new}/{name}"]
        steps += [f"mount -o remount,bind,ro {new}/{name}"]
    steps += [f"ln -s {quote(target)} {new}{quote(link)}" for target, link in _links(root)]
    for folder in map(str, folders):
        steps += [f"mkdir -p {new}{quote(folder)}", f"mount --bind {quote(folder)} {new}{quote(folder)}"]
    settings = " ".join(quote(f"{name}={value}") for name, value in environment.items())
    steps.append(f"exec chroot {new} /usr/bin/env -i {settings} {shlex.join(arguments)}")
    unshare = require_program("unshare", package="util-linux")
    own = ("--mount", "--pid", "--uts", "--fork", "--kill-child=KILL")
    return [unshare, *own, "/bin/sh", "-c", "\n".join(steps)]
