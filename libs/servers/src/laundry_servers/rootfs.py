"""The Debian root file system with RabbitMQ and HAProxy: made once per machine, shared by every checkout."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laundry_servers.errors import LaundryError
from laundry_servers.programs import require_program
from laundry_servers.progress import Progress

SUITE = "forky"
# With what their scripts call, as nothing is installed that is not named here or needed by it.
PACKAGES = (
    *("rabbitmq-server", "haproxy", "ca-certificates"),
    *(
        "base-files",
        "base-passwd",
        "libc-bin",
        "dash",
        "bash",
        "coreutils",
        "sed",
        "grep",
        "mawk",
        "util-linux",
    ),
)
LEFT_OUT = ("usr/share/man", "usr/share/locale", "usr/share/doc", "usr/share/info")
RABBITMQ_VERSION = "4.3."
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BUILD_SECONDS = 900
# The recipe's digest names the folder, so a changed recipe is built afresh, never mixed up with an older one.
RECIPE = hashlib.sha256(repr((SUITE, PACKAGES, LEFT_OUT, 2)).encode()).hexdigest()[:10]
STEP = "RabbitMQ root file system"


def cache_folder() -> Path:
    """Return the folder for things made once per machine and user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "laundry"


def root_path() -> Path:
    """Return where the finished root file system is, or will be."""
    return cache_folder() / f"rootfs-{SUITE}-{RECIPE}"


def is_built() -> bool:
    """Whether the root file system is complete."""
    return root_path().is_dir()


def ensure(progress: Progress) -> Path:
    """Return the root file system, making it first where it is missing (some 15 seconds, 190 MB)."""
    target = root_path()
    if target.is_dir():
        return target
    progress.started(STEP)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with _locked(cache_folder() / "rootfs.lock", progress):
        if not target.is_dir():
            try:
                _build(target, progress)
            except BaseException as error:
                progress.failed(STEP, str(error) or type(error).__name__)
                raise
    progress.finished(STEP, f"RabbitMQ {rabbitmq_version(target)}")
    return target


def rabbitmq_version(root: Path) -> str:
    """Return the version of the RabbitMQ inside. Raises LaundryError when there is none."""
    for folder in sorted((root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")):
        return folder.name.removeprefix("rabbitmq_server-")
    raise LaundryError(f"{root} holds no RabbitMQ. Remove that folder and try again.")


def debian_mirror(sources: Path = Path("/etc/apt")) -> str | None:
    """Return LAUNDRY_DEBIAN_MIRROR, else the Debian mirror that this machine's own apt uses, else None.

    Ubuntu's apt names none; mmdebstrap then takes the one that it knows.
    """
    if mirror := os.environ.get("LAUNDRY_DEBIAN_MIRROR"):
        return mirror.rstrip("/")
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    for file in files:
        text = file.read_text(errors="replace") if file.is_file() else ""
        if file.suffix == ".sources":
            found = re.findall(r"^URIs:\s*(.+)$", text, re.MULTILINE)
            addresses = [address for line in found for address in line.split()]
        else:
            addresses = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE)
        for address in addresses:
            if re.search(r"/debian/?$", address):
                return str(address).rstrip("/")
    return None


def install_tools(progress: Progress, step: str = STEP) -> None:
    """Install mmdebstrap and bubblewrap with apt as root; otherwise raise LaundryError with the command."""
    wanted = {"mmdebstrap": "mmdebstrap", "bwrap": "bubblewrap"}
    if os.geteuid() != 0:
        wanted["newuidmap"] = "uidmap"
    missing = [package for program, package in wanted.items() if shutil.which(program) is None]
    if not KEYRING.is_file():
        missing.append("debian-archive-keyring")
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0:
        raise LaundryError(f"Needed first: sudo apt-get install --no-install-recommends {names}")
    progress.note(step, f"apt-get install {names}")
    apt = require_program("apt-get", package="apt")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(  # noqa: S603
            [apt, "-q", *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    if done.returncode != 0:
        raise LaundryError(f"apt-get install {names} failed:\n{done.stderr.strip()[-2000:]}")


def _build(target: Path, progress: Progress) -> None:
    install_tools(progress)
    mirror = debian_mirror()
    work = Path(tempfile.mkdtemp(prefix="building-", dir=cache_folder()))
    try:
        root = work / "root"
        _run_mmdebstrap(root, mirror, work / "build.log", progress)
        version = rabbitmq_version(root)
        if not version.startswith(RABBITMQ_VERSION):
            raise LaundryError(
                f"Debian {SUITE} now carries RabbitMQ {version}, but {RABBITMQ_VERSION}x is needed. "
                "Use --servers docker or --servers given."
            )
        _finish(root)
        root.chmod(0o755)
        root.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _finish(root: Path) -> None:
    """Do what the packages' own scripts would: they are extracted and not installed, in half the time."""
    etc, share = root / "etc", root / "usr/share"
    for name in ("passwd", "group"):
        shutil.copyfile(share / f"base-passwd/{name}.master", etc / name)
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (root / "usr/bin/awk").symlink_to("mawk")
    authorities = sorted((share / "ca-certificates").rglob("*.crt"))
    bundle = etc / "ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(each.read_text() for each in authorities))
    for folder in LEFT_OUT:
        shutil.rmtree(root / folder, ignore_errors=True)


def _run_mmdebstrap(root: Path, mirror: str | None, log: Path, progress: Progress) -> None:
    # As an ordinary user the tree is unpacked from a tar file, so that this user owns it and can remove it.
    output = str(root) if os.geteuid() == 0 else f"{root}.tar"
    command = [
        require_program("mmdebstrap", package="mmdebstrap"),
        "--variant=extract",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        f"--keyring={KEYRING}",
        SUITE,
        output,
        *([mirror] if mirror else []),
    ]
    with log.open("w+") as sink:
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.PIPE, text=True
        )
        try:
            assert child.stderr is not None
            lines = []
            for line in child.stderr:
                lines.append(line.rstrip())
                if line.startswith("I: "):
                    progress.note(STEP, line.removeprefix("I: ").strip())
            status = child.wait(BUILD_SECONDS)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(30)
    if status != 0:
        tail = "\n".join(lines[-15:])
        raise LaundryError(
            f"mmdebstrap failed with status {status} (mirror: {mirror or 'its own choice'}):\n{tail}"
        )
    if os.geteuid() != 0:
        root.mkdir()
        tar = require_program("tar", package="tar")
        unpack = [tar, "-x", "--no-same-owner", "--exclude=./dev/*", "-C", str(root), "-f", output]
        subprocess.run(unpack, check=True, timeout=300)  # noqa: S603


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(STEP, "another process is making it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
