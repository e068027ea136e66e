"""Programs of Debian packages, unpacked into a folder: nothing of this machine is changed."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from laundry_servers.errors import LaundryError
from laundry_servers.programs import require_program, run
from laundry_servers.rootfs import KEYRING, SUITE, debian_mirror

SECONDS = 300


def unpack(packages: Sequence[str], target: Path) -> None:
    """Download packages of one Debian release, check its signature, and unpack them, not what they depend on.

    Raises:
        LaundryError: they cannot be downloaded or unpacked.
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
        own = {"APT_CONFIG": str(config)}
        apt, dpkg = require_program("apt-get", package="apt"), require_program("dpkg-deb", package="dpkg")
        run([apt, "-qq", "update"], cwd=work, env=own, timeout_s=SECONDS)
        run([apt, "-qq", "download", *packages], cwd=work, env=own, timeout_s=SECONDS)
        for archive in sorted(work.glob("*.deb")):
            run([dpkg, "-x", archive, work / "root"], timeout_s=SECONDS)
        (work / "root").rename(target)
