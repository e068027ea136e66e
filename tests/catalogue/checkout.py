"""A copy of the repository with an environment of its own, in which a developer's steps are carried out."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

from laundry.demo.client import People, Services
from laundry_servers.identity import LocalIdentity

ROOT = Path(__file__).parents[2]
# The last two are there for a moment only.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "var", "build", "dist", "node_modules", ".hypothesis", "*.pyc.*", "*-journal"
)
NOT_COMPARED = shutil.ignore_patterns(
    ".git", ".venv*", "var", "build", "dist", "node_modules", ".hypothesis", "__pycache__", ".*_cache",
    "*.egg-info", "uv.lock",
)  # fmt: skip


@dataclass(frozen=True)
class Checkout:
    """A copy whose commands run its own code."""

    root: Path

    @classmethod
    def of(cls, source: Path, target: Path) -> "Checkout":
        """Copy a repository, and give the copy an interpreter that finds its packages before ours."""
        # With what was compiled and checked: files keep their times, so it holds for the copy too.
        shutil.copytree(source, target, ignore=NOT_COPIED, symlinks=True)
        made = cls(target)
        venv.create(target / ".venv", symlinks=True)
        made.install()
        return made

    def install(self) -> None:
        """Do what ``make setup`` does for the packages of the workspace; what they need is installed here."""
        sources = [
            path for group in ("libs", "services", "tools") for path in self.root.glob(f"{group}/*/src")
        ]
        own, ours = (
            Path(sysconfig.get_path("purelib", vars={"base": str(base)}))
            for base in (self.root / ".venv", sys.prefix)
        )
        (own / "workspace.pth").write_text("\n".join(map(str, [*sorted(sources), ours])) + "\n")

    def contracts(self) -> None:
        """Do what ``make contracts`` does."""
        self.run("laundry_events.schemas")
        self.run("laundry.generated")

    def run(
        self, *arguments: str, timeout_s: float = 300, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m`` with these arguments in the copy; fails with its output if it fails."""
        kept_out = ("LAUNDRY_", "PYTEST_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
        done = subprocess.run(
            [str(self.root / ".venv" / "bin" / "python"), "-m", *arguments],
            cwd=self.root,
            # Programs that come with what is installed here, such as rclone.
            env={
                **inherited,
                "PATH": f"{inherited['PATH']}:{Path(sys.prefix) / 'bin'}",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    @asynccontextmanager
    async def stack(self, *services: str) -> AsyncIterator[tuple[Services, People]]:
        """Run these services with the servers that they need."""
        only = [word for name in services for word in ("--only", name)]
        self.run("laundry.cli", "up", "--detach", *only, timeout_s=240)
        try:
            document = json.loads((self.root / "var" / "stack.json").read_text())
            async with Services(document) as clients:
                yield clients, People(LocalIdentity(self.root / "var" / "identity"))
        finally:
            self.run("laundry.cli", "down", "--wipe")

    def changed_from(self, other: Path) -> set[str]:
        """Return the files that differ from those of another copy, or are in one of the two only."""
        here, there = _files(self.root), _files(other)
        differing = {name for name in here & there if not cmp(self.root / name, other / name, shallow=False)}
        return (here ^ there) | differing


def _files(root: Path) -> set[str]:
    found: set[str] = set()
    for folder, folders, files in os.walk(root):
        ignored = NOT_COMPARED(folder, [*folders, *files])
        folders[:] = [name for name in folders if name not in ignored]
        found |= {str((Path(folder) / name).relative_to(root)) for name in files if name not in ignored}
    return found
