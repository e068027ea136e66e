"""A ``docker`` on PATH that notes what it is asked to do: the order of steps without an engine."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = """\
#!/bin/sh
printf '%s\\n' "$*" >> {calls}
case "$*" in
  *" version"*) echo 2.40.3 ;;
esac
while read -r wanted; do
  case "$*" in $wanted) echo "asked to fail: $wanted" >&2; exit 1 ;; esac
done < {fails}
"""


@dataclass(frozen=True)
class FakeDocker:
    """What was asked of it, and what it refuses."""

    folder: Path

    @classmethod
    def on_path(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "FakeDocker":
        """Put one before every other."""
        fake = cls(folder)
        program = folder / "docker"
        program.write_text(SCRIPT.format(calls=folder / "calls", fails=folder / "fails"))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "calls").touch()
        (folder / "fails").touch()
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return fake

    def fail(self, *what: str) -> None:
        """Refuse every command that one of these patterns of the shell fits."""
        (self.folder / "fails").write_text("".join(f"{each}\n" for each in what))

    @property
    def calls(self) -> list[str]:
        """What it was asked, without questions of what there is."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if " version" not in line and not line.startswith("info")]
