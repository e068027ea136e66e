"""What a comparison of peers says of its rounds; and ours, killed, on real servers."""

import asyncio
import io
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.compare.peers import effects, environment, measuring, running
from laundry_lab.compare.peers.catalogue import PEERS
from laundry_lab.compare.peers.effects import Effect, doubled, latencies, lost, rate
from laundry_lab.compare.peers.measuring import DRAINED_S, WHOLE_S, Bench, Size
from laundry_lab.compare.peers.picture import draw
from laundry_lab.compare.peers.results import KINDS, Comparison, Round, Spread
from laundry_lab.compare.peers.servers import Servers
from laundry_servers.addresses import BrokerAddress, DatabaseAddress
from laundry_servers.errors import LaundryError
from laundry_servers.progress import Quiet

from .fake_clock import FakeClock


def effect(number: int, *, due: float = 0.0, at: float = 1.0, worker: int = 7) -> Effect:
    return Effect(number, due, worker, at)


def test_a_task_without_effect_is_lost_and_every_further_effect_is_doubled() -> None:
    had = [effect(1), effect(2), effect(2), effect(2), effect(5)]
    assert lost(had, [1, 2, 3, 4]) == 2
    assert doubled(had) == 2
    assert (lost([], [1]), doubled([])) == (1, 0)


def test_what_was_refused_is_not_lost() -> None:
    assert lost([effect(1)], accepted=[1]) == 0


def test_a_latency_is_that_of_the_first_effect_and_infinite_without_one() -> None:
    had = [effect(1, due=10, at=10.25), effect(2, due=11, at=14), effect(2, due=11, at=11.5)]
    assert latencies(had, [1, 2, 3]) == [0.25, 0.5, math.inf]


def test_a_rate_leaves_out_how_workers_start_and_end() -> None:
    steady = [10 + number / 100 for number in range(101)]
    assert rate(steady) == pytest.approx(100)
    late_start, late_end = [0.0, *steady[1:]], [*steady[:-1], 99.0]
    assert rate(late_start) == rate(late_end) == pytest.approx(100)
    with pytest.raises(ValueError, match="tell no rate"):
        rate([1.0])


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([1, 2, 3, 10]).median == 2.5
    assert str(Spread.of([3, 1, 2])) == "2 (1 to 3)"
    assert str(Spread.of([812.4])) == "812"
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def a_comparison() -> Comparison:
    found = Comparison({"ours": "ours", "celery": "celery 5.7.0", "late": "late 1.0"}, {"cores": 2})
    kill = {"lost": 1, "doubled": 2, "whole": 1.5, "starts": 1}
    speed = dict.fromkeys((kind.name for kind in KINDS if kind.measure == "speed"), 100.0)
    for turn in (1, 2, 3):
        found.rounds += [
            Round("ours", "speed", turn, speed | {"drain": 100.0 * turn}),
            Round("celery", "child", turn, kill),
        ]
    found.rounds.append(Round("late", "speed", 1, speed | {"p99": math.inf}))
    found.failures.append("group: celery: [was] not done")
    return found


def test_rounds_are_shown_as_medians_with_ranges_and_kills_as_sums() -> None:
    told = io.StringIO()
    found = a_comparison()
    found.show(Console(file=told, width=160))
    text = told.getvalue()
    assert "200 (100 to 300)" in text
    assert found.text("celery", next(each for each in KINDS if each.name == "doubled")) == "6"
    assert found.text("ours", next(each for each in KINDS if each.name == "doubled")) == ""
    assert "[was] not done" in text
    assert "none" in text, "a latency that never ended"


def test_the_json_has_every_round_and_no_infinity(tmp_path: Path) -> None:
    a_comparison().write(tmp_path / "deep" / "peers.json")
    document = json.loads((tmp_path / "deep" / "peers.json").read_text())
    assert len(document["rounds"]) == 7
    assert document["median_least_most"]["ours"]["speed.drain"] == [200, 100, 300]
    assert document["median_least_most"]["late"]["speed.p99"] == [None, None, None]


def test_the_picture_is_drawn_of_much_and_of_nothing(tmp_path: Path) -> None:
    for name, found in (("much", a_comparison()), ("nothing", Comparison({}, {}))):
        draw(found, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_every_peer_is_pinned_with_what_it_needs() -> None:
    pins = environment.REQUIREMENTS.read_text()
    for peer in PEERS.values():
        if peer.package:
            assert peer.title == f"{peer.name} {environment.version(peer.package)}"
    assert pins.count("--hash=sha256:") > 60
    with pytest.raises(LookupError, match="pins no lettuce"):
        environment.version("lettuce")


def test_a_registry_that_does_not_answer_is_told_with_what_can_be_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answer = subprocess.CompletedProcess([], 1, "", "error: no route to the registry")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(LaundryError, match=r"no route to the registry\n.*--only ours"):
        environment.ensure(Quiet())
    assert not environment.path().exists()
    assert [path.name for path in (tmp_path / "laundry").iterdir()] == ["peers.lock"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "kafka"], "--only is one of ours, ours-batched, faststream"),
        (["--nodes", "2"], "--nodes is 1 or 3"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = CliRunner().invoke(app, ["compare", "peers", *arguments])
    assert ended.exit_code == 1
    assert told in " ".join((ended.output + capsys.readouterr().err).split())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch, measuring)


def a_bench(monkeypatch: pytest.MonkeyPatch, had: Callable[[], int]) -> Bench:
    """A peer of whose tasks so many have had their effect, once each."""

    async def progress(*_: object) -> tuple[int, int]:
        return had(), had()

    monkeypatch.setattr(effects, "progress", progress)
    return Bench(PEERS["ours"], Mock(), Path(), Mock(), Mock())


async def test_a_slow_peer_is_waited_for_as_long_as_its_tasks_have_effects(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    began = clock.now
    slowly = a_bench(monkeypatch, lambda: int((clock.now - began) / (DRAINED_S - 1)))
    assert await slowly.had(9, least=9)
    assert clock.now - began > 8 * DRAINED_S
    began = clock.now
    stuck = a_bench(monkeypatch, lambda: min(3, int(clock.now - began)))
    assert not await stuck.had(9, least=9)
    assert clock.now - began == pytest.approx(3 + DRAINED_S, abs=1)


async def test_nothing_is_lost_after_a_kill_as_long_as_tasks_have_effects(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    began = clock.now
    slowly = a_bench(monkeypatch, lambda: min(9, int((clock.now - began) / (WHOLE_S - 1))))
    await measuring._settled(slowly, 9, 9)
    assert clock.now - began > 9 * (WHOLE_S - 1)
    began = clock.now
    stuck = a_bench(monkeypatch, lambda: min(8, int(clock.now - began)))
    await measuring._settled(stuck, 9, 9)
    assert clock.now - began == pytest.approx(8 + WHOLE_S, abs=1)


async def test_each_round_begins_with_another_peer_and_a_failure_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns: list[tuple[str, int]] = []

    async def one(_: Servers, peer: object, name: str, *, turn: int, **__: object) -> None:
        turns.append((peer.name, turn))  # type: ignore[attr-defined]

    monkeypatch.setattr(running, "_one", one)
    peers = [Mock(), Mock(), Mock()]
    for peer, name in zip(peers, "abc", strict=True):
        peer.name = name
    await running.run(
        Mock(),
        peers,
        ["speed"],
        rounds=2,
        size=Size(100, 1),
        found=Comparison({}, {}),
        say=lambda *_: lambda _: None,
    )
    assert turns == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 1), ("a", 1)]


async def compared(*asked: tuple[str, str], there: Servers) -> Comparison:
    """Measure several at once, each in its own space: their figures tell nothing, what they lose does."""
    found = Comparison({name: PEERS[name].title for name, _ in asked}, {})
    async with asyncio.TaskGroup() as measuring:
        for name, measure in asked:
            once = running.run(
                there,
                [PEERS[name]],
                [measure],
                rounds=1,
                size=Size(tasks=100, seconds=1),
                found=found,
                say=lambda *_: lambda _: None,
            )
            measuring.create_task(once)
    return found


@pytest.mark.servers
@pytest.mark.parametrize("name", ["ours", "ours-batched"])
async def test_ours_is_measured_and_loses_and_doubles_nothing_when_all_its_workers_are_killed(
    rabbitmq: BrokerAddress, postgres: DatabaseAddress, tmp_path: Path, name: str
) -> None:
    there = Servers(rabbitmq, postgres, tmp_path)
    found = await compared((name, "speed"), (name, "group"), there=there)
    assert found.failures == []
    figures = {each.measure: each.figures for each in found.rounds}
    speed, group = figures["speed"], figures["group"]
    assert speed["enqueue"] > 0
    assert speed["drain"] > 0
    assert 0 < speed["p50"] <= speed["p99"] < math.inf
    assert group == {"lost": 0, "doubled": 0, "whole": group["whole"], "starts": 2}
    assert 0 < group["whole"] < WHOLE_S


@pytest.mark.servers
async def test_every_peer_does_its_tasks_though_a_worker_is_killed(
    rabbitmq: BrokerAddress, postgres: DatabaseAddress, tmp_path: Path
) -> None:
    if not environment.path().is_dir():
        pytest.skip("the peers are not installed: laundry compare peers does it")
    peers = [name for name, peer in PEERS.items() if peer.package]
    there = Servers(rabbitmq, postgres, tmp_path)
    found = await compared(*((name, "child") for name in peers), there=there)
    assert found.failures == []
    assert {each.peer: each.figures["lost"] for each in found.rounds} == dict.fromkeys(peers, 0)
    assert all(each.figures["whole"] < WHOLE_S for each in found.rounds)
