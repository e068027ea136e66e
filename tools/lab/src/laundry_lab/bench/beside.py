"""An older commit and this working tree, measured by turns in one run: machines change by the hour."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from laundry.paths import PROJECT
from laundry.release.repository import Repository
from laundry_lab.report import grouped_table, number, print_failures, rounded, write_report
from laundry_servers.errors import LaundryError

SETUP_S = 900.0
STOP_S = 60.0
OLD, NEW = "old", "new"


@dataclass
class Pair:
    """What one figure was in each round, before and now.

    Attributes:
        at_most: whether less is better.
    """

    group: str
    name: str
    unit: str
    at_most: bool = True
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """The median now ÷ the one before; None where one of them was not measured or is nothing."""
        if not self.old or not self.new or not median(self.old):
            return None
        return median(self.new) / median(self.old)


@dataclass
class Beside:
    """Both sides of all figures."""

    commit: str
    rounds: int
    surroundings: dict[str, Any]
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def take(self, side: str, report: dict[str, Any]) -> None:
        """Add one run of one side, as ``laundry bench`` writes it."""
        for figure in report["figures"]:
            place = (figure["group"], figure["name"])
            pair = self.pairs.setdefault(place, Pair(*place, figure["unit"], figure.get("at_most", True)))
            # One that is no number was written as null.
            if figure["value"] is not None:
                getattr(pair, side).append(figure["value"])
        self.failures += [f"{side}: {failure}" for failure in report["failures"]]

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        pairs = [
            {**asdict(each), "ratio": None if each.ratio is None else rounded(each.ratio)}
            for each in self.pairs.values()
        ]
        write_report(
            path,
            self.began_at,
            self.surroundings,
            against=self.commit,
            rounds=self.rounds,
            figures=pairs,
            failures=self.failures,
        )

    def show(self, console: Console) -> None:
        """Print old and new side by side."""
        rows = [
            (
                each.group,
                [
                    each.name,
                    f"{_told(each.old)} {each.unit}".rstrip(),
                    f"{_told(each.new)} {each.unit}".rstrip(),
                    "" if each.ratio is None else f"{number(each.ratio)} ×",
                    "less is better" if each.at_most else "more is better",
                ],
            )
            for each in self.pairs.values()
        ]
        title = f"{self.commit[:12]} beside this working tree, {self.rounds} rounds by turns"
        table = grouped_table(title, ["now"], rows)
        table.columns[1].header, table.columns[3].header = "before", "÷"
        console.print(table)
        print_failures(console, self.failures)


def _told(values: Sequence[float]) -> str:
    return ", ".join(number(value) for value in values) or "none"


@contextmanager
def checked_out(commit: str, console: Console) -> Iterator[Path]:
    """Yield a copy of the repository at a commit, with an environment of its own; it goes with the block.

    Raises:
        LaundryError: there is no such commit, or it cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="laundry-before-") as folder:
        # PostgreSQL does not run as root, and reads from here.
        Path(folder).chmod(0o755)
        copy = Path(folder) / "tree"
        Repository(PROJECT).git("clone", "--quiet", "--shared", "--no-checkout", str(PROJECT), str(copy))
        Repository(copy).git("checkout", "--quiet", "--detach", commit)
        console.print(f"Installing {commit[:12]} …")
        _run(["make", "--silent", "setup"], copy, SETUP_S, quiet=True)
        yield copy


def commit_of(name: str) -> str:
    """Return the commit that a name stands for. Raises LaundryError if there is none."""
    try:
        return Repository(PROJECT).git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except LaundryError:
        raise LaundryError(
            f"--against {name}: this repository knows no such commit. See: git log --oneline"
        ) from None


def measured(
    beside: Beside, old: Path, options: Sequence[str], *, longest_s: float, console: Console
) -> None:
    """Measure both by turns; who begins changes with each round.

    Raises:
        LaundryError: one of the two cannot be measured.
    """
    programs = {
        OLD: (old / ".venv/bin/laundry", old),
        NEW: (Path(sys.executable).parent / "laundry", PROJECT),
    }
    for turn in range(beside.rounds):
        for side in (OLD, NEW) if turn % 2 == 0 else (NEW, OLD):
            console.print(f"[bold]Round {turn + 1} of {beside.rounds}: {side}[/bold]")
            program, root = programs[side]
            with tempfile.TemporaryDirectory(prefix="laundry-bench-") as folder:
                Path(folder).chmod(0o755)
                output = Path(folder) / "bench.json"
                command = [str(program), "bench", *options, "--output", str(output)]
                _run(command, root, longest_s, var_dir=Path(folder) / "var")
                if not output.exists():
                    raise LaundryError(f"{side}: laundry bench measured nothing (see above).")
                beside.take(side, json.loads(output.read_text()))


def _run(
    command: Sequence[str], root: Path, longest_s: float, *, var_dir: Path | None = None, quiet: bool = False
) -> None:
    """Run to the end, whatever its exit status; Ctrl-C reaches it too, and it ends its own stack first.

    Raises:
        LaundryError: it takes too long, or ``quiet`` was asked for and it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    where = {} if var_dir is None else {"LAUNDRY_VAR_DIR": str(var_dir)}
    output = subprocess.PIPE if quiet else None
    with subprocess.Popen(  # noqa: S603 - our own arguments
        command,
        cwd=root,
        env={**kept, **where},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
    ) as process:
        try:
            _, error = process.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise LaundryError(f"{' '.join(command[:2])}: no end within {longest_s:.0f} s") from None
        except KeyboardInterrupt:
            process.wait(timeout=STOP_S)
            raise
    if quiet and process.returncode:
        raise LaundryError(f"{' '.join(command)} in {root}: {(error or '').strip()[-500:]}")
