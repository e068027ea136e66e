"""How the approaches of DD-02 are counted, and one of them from end to end."""

import json
import math
import os
from contextlib import suppress
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.compare.approaches import claims, report
from laundry_lab.compare.approaches import rig as rigging
from laundry_lab.compare.approaches.accounts import Account, Answer, percentiles
from laundry_lab.compare.approaches.claims import CLAIMS, Claim, compared
from laundry_lab.compare.approaches.designs import DESIGNS
from laundry_lab.compare.approaches.rig import Rig
from laundry_lab.compare.approaches.trials import Result

from .fake_clock import FakeClock


def account(**effects: list[float]) -> Account:
    """Photos a to d, due at 0, 1, 2 and 3 and answered a tenth later; d is refused."""
    answers = {name: Answer(due, due + 0.1, name != "d") for due, name in enumerate("abcd")}
    return Account(answers, effects)


def test_what_is_accepted_and_has_no_effect_is_lost() -> None:
    found = account(a=[0.5], c=[2.5])
    assert (found.lost, found.doubled, found.refused, found.unanswered) == (1, 0, 1, 0)
    assert not found.complete
    assert sorted(found.effect_s()) == [0.5, 0.5, math.inf]


def test_every_effect_beyond_the_first_is_counted_and_the_first_one_counts() -> None:
    found = account(a=[0.5, 9.0, 9.5], b=[1.5], c=[2.5])
    assert (found.lost, found.doubled) == (0, 2)
    assert found.effect_s() == [0.5, 0.5, 0.5]


def test_an_effect_that_nobody_was_promised_is_neither_lost_nor_doubled() -> None:
    found = account(a=[0.5], b=[1.5], c=[2.5], d=[3.5], e=[4.5])
    assert (found.lost, found.doubled, found.unanswered) == (0, 0, 2)


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(0, 9), max_size=3)))
def test_effects_are_the_accepted_ones_once_the_doubled_and_those_not_promised(
    effects: dict[str, list[float]],
) -> None:
    found = Account(account().answers, effects)
    had = len(found.accepted) - found.lost
    assert had + found.doubled + found.unanswered == sum(map(len, effects.values()))


def test_it_has_resumed_when_answers_come_the_old_are_done_and_a_new_one_is_too() -> None:
    assert account(a=[5.0], b=[1.5], c=[2.5]).resumed_after(1.2) == pytest.approx(3.8)
    assert account(a=[0.5], b=[1.5], c=[8.0]).resumed_after(1.2) == pytest.approx(6.8)
    # b, which was answered before, is lost and not waited for.
    assert account(a=[0.5], c=[2.5]).resumed_after(1.2) == pytest.approx(1.3)
    assert account(a=[0.5], b=[1.5]).resumed_after(1.2) == math.inf


def test_a_rate_is_from_the_first_photo_that_was_due_to_the_last_effect() -> None:
    assert account(a=[1.0], b=[2.0], c=[4.0]).rate() == pytest.approx(3 / 4)
    assert Account().rate() == 0


def test_a_worker_may_be_quicker_than_the_answer() -> None:
    found = account(a=[0.5], b=[1.5], c=[2.5])
    found.received = {"a": 0.05, "b": 1.4}
    assert found.hop_s() == [0.0, pytest.approx(0.3)]


async def test_a_design_is_waited_for_as_long_as_photos_have_their_first_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(monkeypatch, rigging)
    running = Rig(DESIGNS["notify"], {}, Mock(), {})
    monkeypatch.setattr(running, "_rows", AsyncMock(return_value=[]))
    began, photos = clock.now, [str(number) for number in range(40)]
    running.account.answers = {photo: Answer(began, began, True) for photo in photos}

    def done() -> None:
        number = int((clock.now - began) / (rigging.QUIET_S - 1))
        # The first of them has its effect again and again.
        for photo in (photos[0], photos[min(number, 29)]):
            running._hear({"said": "done", "id": photo, "at": clock.now, "received": clock.now})

    clock.passes = done
    await running.settled()
    assert 29 * (rigging.QUIET_S - 1) < clock.now - began < 30 * rigging.QUIET_S + 1


def test_percentiles_are_in_milliseconds_and_none_of_nothing() -> None:
    assert percentiles("effect", [0.001 * n for n in range(1, 101)]) == pytest.approx(
        {"effect_p50_ms": 50, "effect_p99_ms": 99}
    )
    assert percentiles("effect", []) == {}


@pytest.mark.parametrize(
    ("low", "high", "value", "verdict"),
    [
        (None, 100, 99.9, "right"),
        (None, 100, 100.1, "wrong"),
        (1, None, 0, "wrong"),
        (1.5, 2.5, 2, "right"),
        (None, 100, math.inf, "wrong"),
        (None, 100, None, "not measured"),
    ],
)
def test_a_claim_is_held_against_its_figure(
    low: float | None, high: float | None, value: float | None, verdict: str
) -> None:
    figures = {} if value is None else {"figure": value}
    assert Claim("ours", 1, "says", "figure", low=low, high=high).verdict(figures) == verdict


def test_every_claim_is_of_a_design_and_sums_and_ratios_are_made_for_it() -> None:
    names = {figure for _, figure, _ in report.ROWS} | {"systems"}
    made = compared({name: dict.fromkeys(names, 2.0) for name in DESIGNS})
    assert {each.design for each in CLAIMS} <= DESIGNS.keys()
    assert not [each for each in CLAIMS if each.verdict(made[each.design]) == "not measured"]
    assert made["zeromq"]["kills_lost"] == 6
    assert made["event-store"]["stored_ratio"] == 1


def test_a_design_that_has_no_broker_has_no_figure_of_its_death(tmp_path: Path) -> None:
    figures = {"effect_p50_ms": 1.0, "effect_p99_ms": 2.0, "consumer_lost": 3.0, "consumer_doubled": 0.0}
    results = [Result(DESIGNS["zeromq"], {**figures, "consumer_resume_s": math.inf})]
    page = report.markdown(results)
    assert "| broker killed: lost | – |" in page
    assert "| consumer killed: as before after | never |" in page
    # Imported here: what draws is heavy, and every test process collects every file.
    from laundry_lab.compare.approaches import picture

    picture.draw(tmp_path / "drawn.svg", results)
    assert (tmp_path / "drawn.svg").stat().st_size > 0
    assert claims.CLAIMS


def test_an_approach_that_is_not_known_is_refused() -> None:
    told = CliRunner().invoke(app, ["compare", "approaches", "--only", "carrier-pigeons"])
    assert told.exit_code == 1
    assert "ours, zeromq" in told.output


@pytest.mark.servers
def test_one_approach_is_measured_from_end_to_end_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table that tells: its server, PostgreSQL, starts in a second."""
    # Other tests may have both cores.
    monkeypatch.setattr(rigging, "QUIET_S", 30.0)
    told = CliRunner().invoke(
        app, ["compare", "approaches", "--only", "notify", "--seconds", "1", "--output", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    figures = json.loads((tmp_path / "compare-approaches.json").read_text())["designs"]["notify"]["figures"]
    assert figures["accepted"] == 60
    assert 0 < figures["effect_p50_ms"] <= figures["effect_p99_ms"]
    for kind in ("consumer", "producer", "broker"):
        assert figures[f"{kind}_accepted"] > 100
        assert (figures[f"{kind}_lost"], figures[f"{kind}_doubled"]) == (0, 0), kind
    assert figures["broker_refused"] > 0
    assert (tmp_path / "compare-approaches.png").exists()
    left = []
    for each in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            left += [words for words in each.cmdline() if "approaches" in words]
    assert not left
