"""Programs of Debian packages, unpacked into a folder: nothing of this machine is changed."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from laundry_servers.errors import LaundryError
from laundry_servers.process import require_program
from laundry_servers.rootfs import KEYRING, SUITE, debian_mirror

SECONDS = 300


def unpack(packages: Sequence[str], target: Path) -> None:
    """Download packages of one Debian release, check its signature, and unpack them, not what they depend on.

    Raises:
        LaundryError: they cannot be had here.
    """
    mirror = debian_mirror()
    if mirror is None:
        raise LaundryError("apt names no Debian mirror here: set LAUNDRY_DEBIAN_MIRROR to one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".apt-", dir=target.parent) as made:
        work = Path(made)
        for part in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
            (work / part).mkdir(parents=True)
        (work / "etc" / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
        status = work / "status"
        status.touch()
        settings = {
            "Dir::Etc": work / "etc",
            "Dir::State": work / "state",
            "Dir::Cache": work / "cache",
            "Dir::State::status": status,
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "APT::Sandbox::User": "root",
        }
        config = work / "apt.conf"
        config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
        apt, dpkg = require_program("apt-get", package="apt"), require_program("dpkg-deb", package="dpkg")
        _run([apt, "-qq", "update"], config, work)
        _run([apt, "-qq", "download", *packages], config, work)
        for archive in sorted(work.glob("*.deb")):
            _run([dpkg, "-x", str(archive), str(work / "root")], config, work)
        (work / "root").rename(target)


def _run(command: Sequence[str], config: Path, folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            command,
            cwd=folder,
            env={**os.environ, "APT_CONFIG": str(config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LaundryError(f"{' '.join(command)} took longer than {SECONDS} s.") from None
    if done.returncode != 0:
        raise LaundryError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-1500:]}")
