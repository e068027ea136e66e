"""What the commands that compare report of a run that measured nothing, or was interrupted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.commands import compare_approaches, compare_queues
from laundry_lab.compare.approaches.designs import DESIGNS
from laundry_lab.compare.approaches.trials import Result
from laundry_lab.compare.queues.trial import Layout


@pytest.fixture(autouse=True)
def of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another measurement may be under way meanwhile."""
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path / "var"))


def test_an_approach_without_any_figure_is_reported_with_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def compare(_: Any, __: float, ___: Any, results: list[Result]) -> None:
        results.append(Result(DESIGNS["ours"], failure="ours: no room"))

    monkeypatch.setattr(compare_approaches, "compare", compare)
    told = CliRunner().invoke(app, ["compare", "approaches", "--only", "ours", "--output", str(tmp_path)])
    assert told.exit_code == 1
    assert "not measured: ours: no room" in told.output


def test_queues_that_are_interrupted_report_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def broker() -> Iterator[str]:
        yield "amqp://one"

    async def measure(_: str, layout: Layout, __: float) -> dict[str, float]:
        if layout.shared:
            raise KeyboardInterrupt
        return {"steady_p50_ms": 12.0}

    monkeypatch.setattr(compare_queues, "_broker", broker)
    monkeypatch.setattr(compare_queues, "measure", measure)
    told = CliRunner().invoke(app, ["compare", "queues", "--output", str(tmp_path)])
    assert told.exit_code == 130, told.output
    assert "12 ms" in told.output
    document = json.loads((tmp_path / "compare-queues.json").read_text())
    assert document["layouts"] == {"each": {"steady_p50_ms": 12}}
