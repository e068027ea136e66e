"""How the approaches of DD-02 are counted, and one of them from end to end."""

import io
import json
import math
import os
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.bench.stage import NotMeasured
from laundry_lab.compare.approaches import claims, comparing, report, trials
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


def test_a_rate_is_from_the_first_effect_to_the_last_however_long_workers_slept_before() -> None:
    assert account(a=[1.0], b=[2.0], c=[4.0]).rate() == pytest.approx(2 / 3)
    assert account(a=[101.0], b=[102.0, 900.0], c=[104.0]).rate() == pytest.approx(2 / 3)
    assert Account().rate() == account(a=[1.0]).rate() == 0


def test_what_was_due_while_the_helper_was_away_is_refused_and_what_it_had_in_hand_is_cut_off() -> None:
    found = Account({"a": Answer(0.0, 0.1, accepted=True), "b": Answer(1.0, 1.1, accepted=True)})
    # Three at 1.0, of which one has its answer; the one at 2.0 was answered by a helper about to die.
    found.answers["c"] = Answer(2.0, 2.01, accepted=True)
    found.helper_was_away([0.0, 1.0, 1.0, 1.0, 2.0, 2.5, 3.0, 9.0], killed_at=1.9, back_at=4.0)
    assert (len(found.accepted), found.refused, found.cut_off) == (3, 2, 2)
    assert sorted(each.due for each in found.answers.values() if not each.accepted) == [2.5, 3.0]


async def test_nothing_that_was_due_is_left_out_when_the_producer_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its new process is given the rest; the account has all of it."""
    clock, loads = FakeClock(monkeypatch, trials), []
    running = Mock(account=Account(), loaded=AsyncMock())
    running.settled = AsyncMock(return_value=running.account)

    def load(_: str, at: float, *, due: list[float]) -> None:
        loads.append(due)
        # The first answers until the kill, the second all that it is given.
        for number, each in enumerate(due):
            if len(loads) == 2 or each < trials.BURST_AT_S:
                running.account.answers[f"{len(loads)}-{number}"] = Answer(at + each, at + each, True)

    async def kill(_: Rig) -> float:
        killed_at: float = clock.now
        await clock.sleep(1.0)
        return killed_at

    running.load = load
    monkeypatch.setitem(trials.VICTIMS, "producer", kill)
    found = await trials._killed(running, "producer")
    assert found["producer_refused"] == pytest.approx(trials.RATE, abs=2)
    assert found["producer_cut_off"] >= trials.BURST
    everything = len(loads[0])
    assert everything == found["producer_accepted"] + found["producer_refused"] + found["producer_cut_off"]


async def test_a_backlog_waits_for_workers_that_are_held_until_the_slowest_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that sleeps until its next question asks at once when it goes on."""
    clock = FakeClock(monkeypatch, rigging, trials)
    order: list[object] = []
    signals = SimpleNamespace(kill=lambda pid, number: order.append((pid, number)))
    monkeypatch.setattr(rigging, "os", signals)
    running, began = Rig(DESIGNS["poll-5"], {}, Mock(), {}), clock.now
    running._processes = {"producer": Mock(pid=1), "worker-1": Mock(pid=2), "worker-2": Mock(pid=3)}
    monkeypatch.setattr(running, "load", lambda *_, **__: order.append(clock.now - began))
    monkeypatch.setattr(running, "loaded", AsyncMock(side_effect=NotMeasured("not all was submitted")))
    with pytest.raises(NotMeasured):
        await trials._backlog(running, "reading", 9)
    slowest = max(each.settings.get("every_s", 0.0) for each in DESIGNS.values())
    assert order[:2] == [(2, SIGSTOP), (3, SIGSTOP)]
    assert order[2] == rigging.HELD_S > slowest
    assert order[3:] == [(2, SIGCONT), (3, SIGCONT)], "whatever becomes of it"


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
    assert "| broker or database killed: lost | – |" in page
    assert "| consumer killed: as before after | never |" in page
    # Imported here: what draws is heavy, and every test process collects every file.
    from laundry_lab.compare.approaches import picture

    picture.draw(tmp_path / "drawn.svg", results)
    assert (tmp_path / "drawn.svg").stat().st_size > 0
    assert claims.CLAIMS


def test_what_never_came_has_the_longest_bar_and_says_so() -> None:
    # Heavy, as above.
    from matplotlib.figure import Figure

    from laundry_lab.compare.approaches import picture

    names = (("effect_p99_ms", "p99", "black"),)
    for values in ([10.0, math.inf], [math.inf]):
        axes = Figure().subplots()
        results = [Result(DESIGNS["ours"], {"effect_p99_ms": value}) for value in values]
        picture._pairs(axes, results, names, "to the effect")
        bars: Any = axes.patches
        assert bars[-1].get_width() == max(bar.get_width() for bar in bars) == axes.get_xlim()[1]
        assert [text.get_text().strip() for text in axes.texts if text.get_text()][-1] == "never"


def test_a_loss_that_was_not_seen_is_not_disproved_by_another_ones() -> None:
    found = compared({"zeromq": {"consumer_lost": 45.0, "producer_lost": 0.0}})
    told = {row[2]: row[3:] for row in report.claim_rows(CLAIMS, found) if row[1] == "437"}
    assert told == {
        "what a consumer has in memory is lost with it": ("45 lost", "right"),
        "what the helper has in memory is lost with it": ("0 lost", "not seen"),
    }


def test_of_every_design_the_same_kinds_of_lines_are_counted_for_a_subscriber() -> None:
    kinds = {name: {each.kind for each in design.subscriber} for name, design in DESIGNS.items()}
    # Sockets note nothing and know no rights; where nothing is sent to, nothing leads there either.
    assert kinds.pop("zeromq") == {"way", "taking"}
    assert {"taking", "state", "rights"} == set.intersection(*kinds.values())
    assert {name: each.sender_lines for name, each in DESIGNS.items() if each.sender_lines} == {"zeromq": 4}


def test_what_could_not_be_measured_is_told_even_if_that_is_everything() -> None:
    told = io.StringIO()
    report.show([Result(DESIGNS["ours"], failure="ours: [no] room")], {}, Console(file=told, width=160))
    assert told.getvalue().split("\n") == ["not measured: ours: [no] room", ""]
    report.show([Result(DESIGNS["ours"], {"answer_p50_ms": 1.0})], {}, Console(file=told, width=160))
    for note in ("the database lived on", "without the history", "no ranges"):
        assert note in told.getvalue()
        assert note in report.markdown([])


async def test_a_design_that_fails_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def say(title: str, _: float) -> Any:
        said.append(title)
        return lambda _: None

    monkeypatch.setattr(comparing, "rig", Mock(side_effect=NotMeasured("no [port] is free")))
    result = Result(DESIGNS["notify"])
    await comparing._one(result.design, Mock(packages=None), Path(), 1, say=say, result=result)
    assert said == [r"not measured: notify: NotMeasured no \[port] is free"]


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
    assert figures["producer_refused"] > 0, "a process takes longer to start than photos are apart"
    assert (tmp_path / "compare-approaches.png").exists()
    left = []
    for each in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            left += [words for words in each.cmdline() if "approaches" in words]
    assert not left
