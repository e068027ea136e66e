"""Verdicts, the picture and changed settings; the plan itself is measured by ``laundry verify``."""

import json
import math
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from laundry.paths import StackPaths
from laundry.stack import changes
from laundry.stack.restart import restart
from laundry_lab.verify.outcomes import Outcome, Verification
from laundry_lab.verify.picture import draw
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json
from laundry_servers.process import Process


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [
        (4.9, True, "pass"),
        (5.1, True, "asked"),
        (10.1, True, "fail"),
        (math.nan, True, "fail"),
        (math.inf, False, "fail"),
        (11.0, False, "asked"),
    ],
)
def test_what_is_asked_decides_and_the_aim_is_told(value: float, at_most: bool, verdict: str) -> None:
    aimed = 5 if at_most else 12
    assert Outcome("c", "mean", value, "ms", 10, aimed, at_most=at_most).verdict == verdict


def test_nothing_measured_is_no_pass(tmp_path: Path) -> None:
    found = Verification({"cores": 2})
    assert not found.passed
    found.outcomes.append(Outcome("c", "w", 1, "", 1))
    assert found.passed
    found.failures.append("readings: none")
    found.write(tmp_path / "verify.json")
    assert not json.loads((tmp_path / "verify.json").read_text())["passed"]
    console = Console(record=True, width=100)
    found.show(console)
    assert "1 not measured" in console.export_text()


def test_the_picture_is_drawn_with_and_without_every_part(tmp_path: Path) -> None:
    found = Verification({})
    draw(found, tmp_path / "empty.png")
    found.series.publish_s = [0.001, 0.002]
    found.series.push_s = [0.1, 1.7]
    found.series.backlog = [(0.0, 0), (1.0, 500)]
    found.series.marks = [(0.5, "kill -9 ai-consumer-1")]
    found.series.uploads = [(0.0, 0.1)]
    draw(found, tmp_path / "full.png")
    with Image.open(tmp_path / "empty.png") as empty, Image.open(tmp_path / "full.png") as full:
        assert empty.size == full.size
        assert empty.tobytes() != full.tobytes()


def test_a_changed_setting_is_taken_at_the_next_start_and_only_by_its_process(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    said = tmp_path / "said"
    process = Process(
        "mlops",
        [sys.executable, "-c", f"import os; open({str(said)!r}, 'w').write(os.environ['LAUNDRY_X'])"],
        {"LAUNDRY_X": "old"},
        tmp_path / "log",
        ready=lambda: True,
        changed_environment=lambda: changes.of_process(paths, "mlops"),
    )
    for expected in ("old", "new"):
        process.spawn()
        assert process.child is not None
        assert process.child.wait(30) == 0
        assert said.read_text() == expected
        changes.change(paths, "mlops", {"LAUNDRY_X": "new"})
    assert changes.of_process(paths, "helper") == {}


def test_a_restart_refuses_what_is_no_service_or_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StackPaths(tmp_path)
    with pytest.raises(LaundryError, match="not running"):
        restart(paths, "mlops")
    monkeypatch.setattr("laundry.stack.state.supervisor", lambda _: object())
    write_json(paths.stack_file, {"pids": {"mlops": 2**22, "rabbitmq-1": 2**22}})
    with pytest.raises(LaundryError, match="There are: helper"):
        restart(paths, "rabbitmq-1")
    with pytest.raises(LaundryError, match="begin with LAUNDRY_"):
        restart(paths, "mlops", {"PATH": "/"})
    assert not paths.changes_file.exists()
