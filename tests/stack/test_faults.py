"""A reader and a broker die under load, and the ledger outside finds every promise kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(900)]


def test_nothing_is_lost_when_a_reader_and_the_broker_are_killed(
    stack: dict[str, Any], stack_folder: Path, tmp_path: Path
) -> None:
    chosen = ("--only", "consumer-kill", "--only", "leader-kill")
    ran = laundry(stack_folder, "faults", *chosen, "--rate", "5", "--output", str(tmp_path), timeout_s=500)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    report = json.loads((tmp_path / "faults.json").read_text())
    assert [each["fault"] for each in report["results"]] == ["consumer-kill", "leader-kill"]
    found = report["results"][-1]["findings"]
    assert found["accepted"] == found["done"] > 0
    assert (tmp_path / "faults.png").stat().st_size > 10_000


def test_faults_are_listed_without_a_stack(tmp_path: Path) -> None:
    listed = laundry(tmp_path, "faults", "--list")
    assert listed.returncode == 0
    assert "majority-gone" in listed.stdout


def test_an_unknown_fault_is_named(tmp_path: Path) -> None:
    refused = laundry(tmp_path, "faults", "--only", "earthquake")
    assert refused.returncode != 0
    assert "earthquake" in refused.stderr
