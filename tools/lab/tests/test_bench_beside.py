"""Old and new figures of one run."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from laundry_lab.bench import beside
from laundry_lab.bench.beside import NEW, OLD, Beside
from laundry_servers.errors import LaundryError


def report(value: float | None, *, name: str = "p50", failures: tuple[str, ...] = ()) -> dict[str, Any]:
    figure = {"group": "Uploads", "name": name, "unit": "ms", "value": value, "at_most": True}
    return {"figures": [figure], "failures": list(failures)}


def a_beside(rounds: int = 2) -> Beside:
    return Beside("0123456789abcdef", rounds, {"cores": 2})


def test_each_figure_has_all_its_rounds_on_both_sides_and_their_ratio(tmp_path: Path) -> None:
    found = a_beside()
    for side, value in ((OLD, 20.0), (NEW, 10.0), (NEW, 12.0), (OLD, 24.0)):
        found.take(side, report(value))
    found.take(NEW, report(5.0, name="new only", failures=("readings: not done",)))
    found.take(OLD, report(None, name="no number"))
    both, alone, without = found.pairs.values()
    assert (both.old, both.new, both.ratio) == ([20, 24], [10, 12], 0.5)
    assert (alone.old, alone.new, alone.ratio) == ([], [5], None)
    assert (without.old, without.ratio) == ([], None)
    console = Console(record=True, width=120)
    found.show(console)
    told = console.export_text()
    assert "0123456789ab beside this working tree" in told
    assert "20.0, 24.0 ms" in told.replace("20, 24 ms", "20.0, 24.0 ms")
    assert "new: readings: not done" in told
    found.write(tmp_path / "beside.json")
    written = json.loads((tmp_path / "beside.json").read_text())
    assert written["against"] == "0123456789abcdef"
    assert [each["ratio"] for each in written["figures"]] == [0.5, None, None]


def test_they_take_turns_and_who_begins_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []

    def ran(command: list[str], root: Path, longest_s: float, *, var_dir: Path) -> None:
        order.append(OLD if root == tmp_path else NEW)
        assert command[1:4] == ["bench", "--only", "memory"]
        Path(command[-1]).write_text(json.dumps(report(float(len(order)))))

    monkeypatch.setattr(beside, "_run", ran)
    found = a_beside(rounds=3)
    beside.measured(found, tmp_path, ["--only", "memory"], longest_s=1, console=Console(quiet=True))
    assert order == [OLD, NEW, NEW, OLD, OLD, NEW]
    [pair] = found.pairs.values()
    assert (pair.old, pair.new) == ([1, 4, 5], [2, 3, 6])


def test_an_unknown_commit_says_so() -> None:
    with pytest.raises(LaundryError, match="knows no such commit"):
        beside.commit_of("no-such-branch-or-tag")


def test_a_side_that_measures_nothing_or_never_ends_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / ".venv/bin/laundry"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(LaundryError, match="old: laundry bench measured nothing"):
        beside.measured(a_beside(), tmp_path, [], longest_s=20, console=Console(quiet=True))
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(LaundryError, match="no end within"):
        beside.measured(a_beside(), tmp_path, [], longest_s=0.2, console=Console(quiet=True))


def test_what_was_checked_out_goes_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], Path]] = []
    monkeypatch.setattr(beside, "_run", lambda command, root, *_, **__: ran.append((command, root)))
    commit = beside.commit_of("HEAD")
    with beside.checked_out(commit, Console(quiet=True)) as tree:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True, check=True
        )
        assert head.stdout.strip() == commit
        assert ran == [(["make", "--silent", "setup"], tree)]
    assert not tree.exists()
