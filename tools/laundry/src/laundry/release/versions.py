"""The project's version: the root's pyproject.toml has it, and every other file repeats it."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laundry.paths import PROJECT
from laundry_servers.errors import LaundryError

SOURCE = "pyproject.toml"
# Where it is repeated: files, and what stands before it there. The last ones are written by `make contracts`.
REPEATED = (
    (SOURCE, r'^version = "'),
    ("*/*/pyproject.toml", r'^version = "'),
    ("tools/laundry/src/laundry/scaffold/template/pyproject.toml.tmpl", r'^version = "'),
    ("deploy/helm/laundry/Chart.yaml", r'^appVersion: "'),
    ("docker-compose.yml", r"\$\{LAUNDRY_VERSION:-"),
    ("deploy/docker/bake.json", r'"VERSION": \{\s+"default": "'),
    ("docs/api/*.json", r'^    "version": "'),
)
NUMBER = r"(?:0|[1-9]\d*)"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Major, minor and patch, by https://semver.org; releases alone, nothing before them."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return what a person wrote. Raises LaundryError for anything but three numbers."""
        found = re.fullmatch(rf"({NUMBER})\.({NUMBER})\.({NUMBER})", text)
        if found is None:
            raise LaundryError(f"{text!r} is no version. Write MAJOR.MINOR.PATCH, such as 0.2.0.")
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """The tag in git."""
        return f"v{self}"


def current(root: Path = PROJECT) -> str:
    """Return the version that the root's pyproject.toml says."""
    return str(tomllib.loads((root / SOURCE).read_text())["project"]["version"])


def said(root: Path = PROJECT) -> Iterator[tuple[Path, str]]:
    """Yield each place that repeats the version, with what it says."""
    for path, before in _places(root):
        for found in re.finditer(rf"{before}({NUMBER}\.{NUMBER}\.{NUMBER})", path.read_text(), re.MULTILINE):
            yield path, found[1]


def write(root: Path, version: Version) -> list[Path]:
    """Let every place say ``version``; returns the files."""
    written = []
    for path, before in _places(root):
        text = path.read_text()
        path.write_text(
            re.sub(rf"({before}){NUMBER}\.{NUMBER}\.{NUMBER}", rf"\g<1>{version}", text, flags=re.MULTILINE)
        )
        written.append(path)
    return written


def _places(root: Path) -> Iterator[tuple[Path, str]]:
    for pattern, before in REPEATED:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise LaundryError(f"{pattern} is missing in {root}: where is the version repeated?")
        for path in paths:
            yield path, before
