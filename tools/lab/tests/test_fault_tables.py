"""What the fault suite writes for programs."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from laundry_lab.bench.stage import Stage
from laundry_lab.faults.ledger import Ledger
from laundry_lab.faults.load import Load
from laundry_lab.faults.suite import CATALOGUE, Result
from laundry_lab.faults.tables import page, write
from laundry_lab.faults.world import Observation

FAULT = CATALOGUE["duplicates"]
SEEN, UNSEEN = Observation("it went on", True), Observation("it went on", False)


@pytest.mark.parametrize(
    ("result", "holds"),
    [
        (Result(FAULT, 1, [SEEN]), True),
        (Result(FAULT, 1, [UNSEEN]), False),
        (Result(FAULT, 1, [SEEN], error="TimeoutError"), False),
        (Result(FAULT, 1, [], skipped="needs root"), False),
    ],
)
def test_only_a_fault_that_was_made_and_borne_holds(tmp_path: Path, result: Result, holds: bool) -> None:
    load = Load(cast(Any, Stage), Ledger(tmp_path / "ledger.jsonl"), rate=1)
    write(tmp_path / "faults.json", [result], load, {}, None)
    load.ledger.close()
    assert json.loads((tmp_path / "faults.json").read_text())["holds"] is holds


@pytest.mark.parametrize(
    ("alerts", "told"),
    [
        (["LaundryBrokerBlocked"], "it went on; rang: LaundryBrokerBlocked"),
        ([], "rang: nothing"),
        (None, "on |"),
    ],
)
def test_what_rang_is_told_where_somebody_listened(
    tmp_path: Path, alerts: list[str] | None, told: str
) -> None:
    page(tmp_path / "faults.md", [Result(FAULT, 1, [SEEN], alerts=alerts)], None)
    assert told in (tmp_path / "faults.md").read_text()
