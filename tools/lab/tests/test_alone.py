"""Two measurements of one stack: the second is refused, whatever it is, and none outlives its process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.commands.alone import LOCK, alone
from laundry_servers.errors import LaundryError

HOLD = """
import subprocess, sys
from laundry_lab.commands.alone import alone
with alone("laundry bench"):
    # What a measurement starts, such as a stack, may live on.
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
    print("held", flush=True)
    child.wait()
"""


@pytest.fixture
def holder(var: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that measures the stack of this folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as found:
        assert found.stdout is not None
        assert found.stdin is not None
        assert found.stdout.readline() == "held\n"
        try:
            yield found
        finally:
            found.stdin.close()
            found.wait(20)


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "steady", "--for", "1"],
        ["load", "steady", "--url", "http://127.0.0.1:9"],
        ["bench"],
        ["bench", "--only", "scale"],
        ["verify"],
        ["faults"],
        ["compare", "peers"],
        ["compare", "approaches"],
        ["compare", "queues"],
    ],
)
def test_the_second_is_told_who_measures_since_when_and_what_to_do(
    arguments: list[str], holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_TOKEN", "t")
    output = tmp_path / "out" / "x"
    done = CliRunner().invoke(app, [*arguments, "--output", str(output)])
    told = " ".join(done.output.split())
    assert done.exit_code == 1
    assert f"laundry bench (pid {holder.pid}, since 20" in told
    assert f"kill {holder.pid}" in told
    assert not output.parent.exists()


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("arguments", [["bench", "--help"], ["faults", "--list"], ["load", "--help"]])
def test_what_measures_nothing_is_not_kept_out(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_what_is_killed_lets_go_though_what_it_started_lives(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait(20)
    with alone("laundry verify"):
        pass


def test_it_is_let_go_at_the_end_and_after_a_failure(var: Path) -> None:
    with pytest.raises(RuntimeError, match="in between"), alone("laundry load"):
        assert str(os.getpid()) in (var / LOCK).read_text()
        with pytest.raises(LaundryError, match="laundry load"), alone("laundry bench"):
            pass
        raise RuntimeError("in between")
    with alone("laundry bench"):
        pass
    assert (var / LOCK).read_text() == ""


def test_stacks_of_two_folders_are_measured_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with alone("laundry load"):
        monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path / "another"))
        with alone("laundry load"):
            pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path / "file"))
    with pytest.raises(LaundryError, match="LAUNDRY_VAR_DIR"), alone("laundry load"):
        pass
