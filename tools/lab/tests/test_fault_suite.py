"""What the fault suite draws, counts, prints and installs; the faults themselves need a running stack."""

import io
import os
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from laundry_lab.faults import tools
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.ledger import Ledger
from laundry_lab.faults.suite import CATALOGUE, Result, drawn
from laundry_lab.faults.tables import conclusion, page, show
from laundry_lab.faults.tools import Tool
from laundry_lab.faults.world import Observation

QUIET: dict[str, Any] = {"settled_s": 0.1}


@given(st.integers(0, 10**6), st.sampled_from([1, 3]))
def test_a_seed_draws_the_same_faults_however_long_they_take(seed: int, nodes: int) -> None:
    first, again = list(islice(drawn(seed, nodes), 40)), list(islice(drawn(seed, nodes), 40))
    assert first == again
    assert all(fault.soak and fault.minimum_nodes <= nodes for fault, _ in first)


def test_another_seed_draws_others() -> None:
    assert list(islice(drawn(1, 3), 20)) != list(islice(drawn(2, 3), 20))


@pytest.mark.parametrize(
    "breach",
    [
        {"lost": ["a"]},
        {"killed": ["a"]},
        {"doubled": ["a"]},
        {"silent": ["a"]},
        {"repeated": ["a"]},
        {"unserved": ["task.read"]},
        {"pending": 1},
        {"strange": 1},
        {"most_attempts": 5},
        {"settled_s": None},
        {"load": ["Refused: 400"]},
    ],
)
def test_each_breach_is_a_problem(breach: dict[str, Any]) -> None:
    assert not Findings(**QUIET).problems
    assert Findings(**{**QUIET, **breach}).problems


def test_a_lost_photo_shows_as_a_sum_that_does_not_add_up() -> None:
    found = Findings(accepted=9, done=7, dead=1, lost=["t-1"], **QUIET)
    assert "9 accepted ≠ 7 done + 1 dead + 0 pending" in found.problems
    assert any("t-1" in text for text in found.problems)


def test_every_fault_has_a_line_of_80_columns_and_only_broken_ones_say_more(tmp_path: Path) -> None:
    seen = [Observation("it was seen to go on", True)]
    full = Findings(accepted=12345, done=12344, dead=1, **QUIET)
    results = [Result(fault, 1, seen, full) for fault in CATALOGUE.values()]
    results[3] = Result(results[3].fault, 1, seen, Findings(accepted=12345, lost=["x"], settled_s=89.9))
    results[4] = Result(results[4].fault, 0, [], skipped="needs root")
    text = io.StringIO()
    show(Console(file=text, width=80), results, None)
    lines = text.getvalue().splitlines()
    for each, line in zip(results, lines[1 : len(results) + 1], strict=True):
        assert line.split()[0] == each.fault.name
        assert line.split()[-1] == {3: "FAILS", 4: "skip"}.get(results.index(each), "holds")
    assert "it was seen to go on" not in text.getvalue()
    assert "needs root" in text.getvalue()
    page(tmp_path / "faults.md", results, None)
    assert (tmp_path / "faults.md").read_text().count("it was seen to go on") == len(results) - 1


@pytest.mark.parametrize(
    ("results", "end", "word"),
    [
        ([Result(CATALOGUE["poison"], 1, [], Findings(**QUIET))], None, "PASSED"),
        ([Result(CATALOGUE["poison"], 1, [], Findings(lost=["a"]))], None, "FAILED"),
        ([Result(CATALOGUE["poison"], 1, [])], Findings(lost=["a"]), "FAILED"),
        ([Result(CATALOGUE["poison"], 0, [], skipped="needs root")], None, "NOT SHOWN"),
        ([], None, "NOT SHOWN"),
    ],
)
def test_the_last_line_says_whether_it_was_shown(
    results: list[Result], end: Findings | None, word: str
) -> None:
    assert word in conclusion(results, end)


def test_one_key_is_one_task_and_one_customer_one_preference(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.took_preference("p-1", "c-1")
    ledger.took_preference("p-1", "c-1")
    with pytest.raises(ValueError, match="p-2"):
        ledger.took_preference("p-2", "c-1")
    ledger.close()


def test_missing_tools_are_installed_by_root_and_named_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    said: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    missing = [Tool("faketime", lambda: False), Tool("iptables", lambda: True)]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tools.provide(missing, said.append)
    assert ran[0][:2] == ["apt-get", "install"]
    assert ran[0][-1] == "faketime"
    assert "iptables" not in ran[0]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tools.provide(missing, said.append)
    assert len(ran) == 1
    assert "sudo apt-get install faketime" in said[-1]
