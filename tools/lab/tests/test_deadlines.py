"""What may be asked for at most can be done: no deadline is shorter than what was asked takes."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import Mock

import pytest

from laundry_lab.bench import consuming, levelling, retries, telemetry, tripgen, upload_stages, uploads
from laundry_lab.bench.scratch import Scratch
from laundry_lab.bench.stage import Stage
from laundry_lab.bench.workers import worker
from laundry_lab.commands.bench import bench, longest_of
from laundry_lab.commands.compare_approaches import approaches
from laundry_lab.commands.compare_peers import peers
from laundry_lab.commands.faults import faults
from laundry_lab.compare.approaches import comparing, rig, trials
from laundry_lab.compare.approaches.accounts import Account
from laundry_lab.compare.peers import running, workers
from laundry_lab.compare.peers.measuring import RATE, Size
from laundry_lab.faults.invariants import Invariants


def most(command: Any, option: str) -> float:
    """Return the most that an option may be."""
    return float(get_type_hints(command, include_extras=True)[option].__metadata__[0].max)


SCALE = most(bench, "scale")


def stage_of(scale: float) -> Stage:
    return Stage(Mock(), {}, Mock(), lambda *_: lambda _: None, Mock(), scale=scale)


class Ended(Exception):
    """The measurement has heard what this test is about."""


class Publishing:
    """A worker that publishes at a rate, and notes for how long it is listened to."""

    def __init__(self, order: dict[str, Any], patience: list[tuple[float, float]]) -> None:
        self.order, self.patience = order, patience

    async def hear(self, what: str, *, within_s: float = 0) -> dict[str, Any]:
        assert what == "published"
        self.patience.append((within_s, self.order["number"] / self.order["rate"]))
        raise Ended


@pytest.mark.parametrize("scale", [0.1, 1.0, SCALE])
@pytest.mark.parametrize("module", [consuming, tripgen, retries])
async def test_who_publishes_at_a_rate_is_listened_to_until_all_is_published(
    module: Any, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: list[tuple[float, float]] = []

    @asynccontextmanager
    async def stood_in(role: str, **order: Any) -> AsyncIterator[Publishing]:
        assert set(order) <= {*inspect.signature(worker).parameters, *order}
        yield Publishing(order, patience)

    @asynccontextmanager
    async def scratch(_: Stage) -> AsyncIterator[Scratch]:
        yield Scratch("amqp://h", "postgresql://h")

    monkeypatch.setattr(module, "worker", stood_in)
    monkeypatch.setattr(module, "scratch_space", scratch)
    with pytest.raises(Ended):
        await module.measure(stage_of(scale))
    [(within_s, takes_s)] = patience
    assert within_s > takes_s + 30


def test_the_longest_measure_is_given_its_time_at_every_scale() -> None:
    for scale in (0.01, 1.0, SCALE):
        stage = stage_of(scale)
        turns = 2 * (stage.many(uploads.SECONDS) + stage.many(uploads.STILL_SECONDS, grows=False))
        bursts = stage.many(levelling.BURSTS) * levelling.BURST / levelling.TARGET_RATE
        assert longest_of(scale) > 2 * max(turns, bursts)


def test_what_cannot_be_more_than_the_whole_does_not_grow_beyond_it() -> None:
    stage = stage_of(SCALE)
    assert stage.many(7) == 7 * SCALE
    assert stage.many(7, grows=False) == 7
    assert stage_of(0.5).many(8, grows=False) == 4
    assert stage.many(telemetry.BURST // telemetry.BATCH, grows=False) * telemetry.BATCH <= telemetry.BURST


async def test_the_helper_stands_still_no_longer_than_the_broker_bears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage, asked = stage_of(SCALE), list[int]()

    @asynccontextmanager
    async def helper(_: Stage) -> AsyncIterator[tuple[Any, Any]]:
        yield Mock(), Mock()

    async def used(*_: Any) -> dict[tuple[str, str], float]:
        return {}

    async def upload(*arguments: Any) -> None:
        asked.append(arguments[-1])

    stage.document = {"pids": {}}
    monkeypatch.setattr(upload_stages, "_helper", helper)
    monkeypatch.setattr(upload_stages, "_used", used)
    monkeypatch.setattr(upload_stages, "_upload", upload)
    monkeypatch.setattr(upload_stages, "Pictures", Mock())
    for name in ("IDLE_SHARE", "LATER_S"):
        monkeypatch.setattr(upload_stages, name, 0.0)
    await upload_stages.measure(stage)
    assert asked[-1] / uploads.RATE * 1.5 < 20


class Listening:
    """A design's processes, which are listened to for some time."""

    def __init__(self) -> None:
        self.within_s = 0.0
        self.pids = self.broker_pids = list[int]()
        self.servers = Mock(postgres=Mock(process=Mock(wrapper_pid=None)))

    def load(self, *_: Any, **__: Any) -> None: ...

    async def loaded(self, within_s: float = rig.ENOUGH_S) -> None:
        self.within_s = within_s

    async def settled(self) -> Account:
        return Account()


async def test_a_design_is_given_the_time_of_its_steady_load() -> None:
    seconds, there = most(approaches, "seconds"), Listening()
    await trials._steady(there, seconds)  # type: ignore[arg-type]
    assert there.within_s > seconds + 60
    assert comparing.longest_s(seconds) > comparing.LONGEST_S + seconds + rig.ENOUGH_S


def test_a_peer_is_given_the_time_of_its_tasks() -> None:
    size = Size(int(most(peers, "tasks")), most(peers, "seconds"))
    # What the slowest of them did on two cores (docs/figures.md), on a machine half as fast.
    send_s, work_s = size.tasks / (876 / 2), size.tasks / (416 / 2)
    assert workers.sending_s(size.tasks) > send_s + 60
    assert workers.sending_s(round(RATE * size.seconds), RATE) > size.seconds + 60
    assert running.longest_s(size) > send_s + work_s + size.seconds + 100


def test_what_a_fault_holds_up_may_be_read_at_any_rate(tmp_path: Path) -> None:
    rate = most(faults, "rate")
    invariants = Invariants(Mock(), Mock(rate=rate), Mock())
    # All readers are away for a minute; then they read sixty a second, as is asked of them.
    assert invariants.settle_s > rate * 60 / 60 + 60
    assert Invariants(Mock(), Mock(rate=1), Mock()).settle_s == 90
