"""What counts as passed, and the picture; the plan itself is measured by ``laundry verify``."""

import json
import math
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from laundry_lab.verify.outcomes import Outcome, Verification
from laundry_lab.verify.picture import draw


@pytest.mark.parametrize(
    ("value", "at_most", "status"),
    [
        (4.9, True, "pass"),
        (5.1, True, "asked"),
        (10.1, True, "fail"),
        (math.nan, True, "fail"),
        (math.inf, False, "fail"),
        (11.0, False, "asked"),
    ],
)
def test_what_is_asked_decides_and_the_aim_is_told(value: float, at_most: bool, status: str) -> None:
    aimed = 5 if at_most else 12
    assert Outcome("c", "mean", value, "ms", 10, aimed, at_most=at_most).status == status


@pytest.mark.parametrize(
    ("ceiling", "status", "said"),
    [
        (52, "machine", "0 of 1 missed, 0 not measured. 1 more cannot be had on this machine"),
        (70, "fail", "1 of 1 missed, 0 not measured."),
        (None, "fail", "1 of 1 missed, 0 not measured."),
    ],
)
def test_a_miss_is_the_machines_where_bare_clients_miss_it_too(
    ceiling: float | None, status: str, said: str
) -> None:
    found = Verification({})
    found.outcomes.append(Outcome("c", "readings", 40, "/s", 60, at_most=False, ceiling=ceiling))
    assert found.outcomes[0].status == status
    assert not found.passed
    console = Console(record=True, width=160)
    found.show(console)
    assert said in " ".join(console.export_text().split())


def test_nothing_measured_is_no_pass(tmp_path: Path) -> None:
    assert not Verification({"cores": 2}).passed
    found = Verification({"cores": 2})
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
