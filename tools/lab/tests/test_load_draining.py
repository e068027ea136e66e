"""What a run of load waits for once everything is sent, and what it says of effects that have not come."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import httpx
import pytest

from laundry_lab.bench.stage import Stage
from laundry_lab.load import draining, driving
from laundry_lab.load.arrivals import OK, Requests
from laundry_lab.load.draining import (
    EFFECTS_S,
    GRACE_S,
    INTERRUPTED_S,
    given_back,
    sampled,
    until_empty,
    until_read,
)
from laundry_lab.load.driving import Asked
from laundry_lab.load.page import run_page
from laundry_lab.load.runs import Run
from laundry_lab.load.watching import Sample, Watch
from laundry_lab.patience import Patience
from laundry_servers.errors import LaundryError

from .fake_clock import FakeClock

SLOWLY_S = EFFECTS_S - 1


class Sampled:
    """A watch whose queues hold what they are said to after some seconds."""

    def __init__(self, clock: FakeClock, backlog: Callable[[float], int | None]) -> None:
        self.began = clock.now
        self.samples: list[Sample] = []
        self._clock, self._backlog = clock, backlog
        clock.passes = self.look

    def look(self) -> None:
        at = self._clock.now - self.began
        held = self._backlog(at)
        self.samples.append(Sample(at, {} if held is None else {"task.submitted": held, "task.read": 0}))


class Bar:
    """Notes how far a progress bar came."""

    def __init__(self) -> None:
        self.total = self.moved = 0.0

    def say(self, _: str, total: float) -> Callable[[float], None]:
        self.total = total

        def advance(steps: float) -> None:
            self.moved += steps

        return advance


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch, draining)


def watching(clock: FakeClock, backlog: Callable[[float], int | None]) -> Watch:
    return cast(Watch, Sampled(clock, backlog))


async def test_a_backlog_that_falls_is_waited_for_however_long_it_takes(clock: FakeClock) -> None:
    bar, began = Bar(), clock.now
    watch = watching(clock, lambda at: max(0, 10 - int(at / SLOWLY_S)))
    assert await until_empty(sampled(watch), asyncio.Event(), bar.say) == 0
    assert clock.now - began > 9 * SLOWLY_S
    assert bar.moved == bar.total == 10


async def test_a_backlog_that_falls_no_more_is_given_up_and_told(clock: FakeClock) -> None:
    began = clock.now
    watch = watching(clock, lambda at: max(7, 100 - int(at)))
    assert await until_empty(sampled(watch), asyncio.Event(), Bar().say) == 7
    assert clock.now - began == pytest.approx(93 + EFFECTS_S, abs=1)


async def test_queues_that_nobody_can_look_at_are_not_known_to_be_empty(clock: FakeClock) -> None:
    nothing = sampled(watching(clock, lambda _: None))
    assert await until_empty(nothing, asyncio.Event(), Bar().say) is None


async def test_an_interrupt_ends_the_wait_for_a_falling_backlog(clock: FakeClock) -> None:
    stop, began = asyncio.Event(), clock.now

    def backlog(at: float) -> int:
        if at > 50:
            stop.set()
        return 1000 - int(at)

    held = await until_empty(sampled(watching(clock, backlog)), stop, Bar().say)
    assert held == pytest.approx(945, abs=1)
    assert clock.now - began == pytest.approx(50 + INTERRUPTED_S, abs=1)


@pytest.mark.parametrize(("said", "held"), [((0, 0, 3), 3), ((None, 0, 2), 2), ((0,) * 20, 0)])
async def test_what_consumers_had_in_hand_goes_back_a_moment_after_they_ended(
    clock: FakeClock, said: tuple[int | None, ...], held: int
) -> None:
    looks = iter(said)

    async def look() -> int | None:
        return next(looks)

    assert await given_back(look) == held


def test_patience_begins_anew_with_all_that_comes_nearer_and_with_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, patience = FakeClock(monkeypatch), Patience(10)
    for seconds, left, lasts in ((0, 5, True), (9, 4, True), (9, 6, True), (1, 4, False), (0, 3, True)):
        clock.now += seconds
        assert patience.lasts(left) is lasts


@asynccontextmanager
async def no_client(_: str) -> AsyncIterator[None]:
    yield None


async def read(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, backlog: Callable[[float], int | None], times: Any
) -> tuple[dict[str, float] | None, int | None]:
    monkeypatch.setattr(draining, "client_of", no_client)
    monkeypatch.setattr(draining, "read_times", times)
    stage = cast(Stage, Mock(document={"helper_url": ""}))
    watch = watching(clock, backlog)
    return await until_read(stage, watch, "b", {"a", "b", "c"}, stop=asyncio.Event(), say=Bar().say)


async def test_a_helper_that_cannot_be_asked_has_lost_nothing(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> dict[str, datetime]:
        raise httpx.ConnectError("refused")

    assert await read(clock, monkeypatch, lambda _: 0, away) == (None, 0)


async def test_readings_that_still_come_are_waited_for_though_the_queues_are_empty(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clock.now

    async def slowly(*_: Any) -> dict[str, datetime]:
        number = int((clock.now - began) / (GRACE_S - 2))
        return dict.fromkeys("abc"[:number], datetime.fromtimestamp(5, UTC))

    found, held = await read(clock, monkeypatch, lambda _: 0, slowly)
    assert found == dict.fromkeys("abc", 5.0)
    assert held == 0


async def test_queues_that_were_said_to_be_empty_too_early_are_waited_for_as_any_other(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, takes_s = clock.now, 3 * GRACE_S

    def backlog(at: float) -> int:
        return 0 if at < 3 else max(0, round(1000 * (1 - at / takes_s)))

    async def at_the_end(*_: Any) -> dict[str, datetime]:
        read = "abc" if clock.now - began >= takes_s else ""
        return dict.fromkeys(read, datetime.fromtimestamp(5, UTC))

    found, held = await read(clock, monkeypatch, backlog, at_the_end)
    assert found == dict.fromkeys("abc", 5.0)
    assert held == 0


@pytest.mark.parametrize("said", [0, 4])
async def test_what_is_never_read_is_lost_or_waits_by_what_the_queues_hold_at_the_end(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    async def never(*_: Any) -> dict[str, datetime]:
        return {"a": datetime.fromtimestamp(5, UTC)}

    assert await read(clock, monkeypatch, lambda _: said, never) == ({"a": 5.0}, said)


async def test_others_who_fill_the_queues_again_and_again_are_not_waited_for_without_end(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clock.now

    async def never(*_: Any) -> dict[str, datetime]:
        return {}

    await read(clock, monkeypatch, lambda at: int(at) % 2, never)
    assert clock.now - began < EFFECTS_S + GRACE_S + 5


def a_run(**more: Any) -> Run:
    requests = Requests.scheduled([0.0, 1.0, 2.0, 3.0])
    for number, due in enumerate(requests.due_us):
        requests.arrived_us[number] = requests.sent_us[number] = due
        requests.done_us[number] = due + 10_000
        requests.ends(number, OK)
    plan = {"title": "t", "pattern": "steady", "seed": 1, "photos": 4, "seconds": 3.0, "batch": 1}
    return Run(plan, {}, requests, accepted=4, **more)


def test_what_still_waits_is_pending_and_nothing_is_known_to_be_lost(tmp_path: Path) -> None:
    run = a_run()
    draining.note(run, [(0.0, 0.2), (1.0, 0.4)], held=2, answered_s=3.0)
    assert run.values["pending"] == 2
    assert "lost" not in run.values
    assert run.drained_s is None
    assert run.values["effect_p50"] == 400
    assert math.inf not in [value for name, value in run.values.items() if name.startswith("effect_")]
    assert "not measured" in run_page(run)
    run.write(tmp_path / "run.json")
    assert Run.read(tmp_path / "run.json").values == run.values


@pytest.mark.parametrize("held", [None, 3])
def test_nothing_is_lost_as_long_as_it_may_wait(held: int | None) -> None:
    run = a_run()
    draining.note(run, [], held=held, answered_s=3.0)
    assert run.values["pending"] == 4
    assert not run.values.keys() & {"lost", "effect_p50"}


def test_what_has_no_effect_and_waits_nowhere_is_lost() -> None:
    run = a_run()
    draining.note(run, [(0.0, 0.2), (1.0, 0.4), (2.0, 0.4)], held=0, answered_s=3.0)
    assert (run.values["pending"], run.values["lost"], run.values["effect_max"]) == (0, 1, math.inf)


class Consumer:
    """A consumer of a straight run that has handled two events."""

    pid = 1

    async def end(self) -> dict[str, Any]:
        return {"seen": [["kept", 1, 0, 0], ["unconfirmed", 1, 0, 0]], "ended": [2 * 10**8, 3 * 10**8]}


async def driven(
    monkeypatch: pytest.MonkeyPatch, asked: Asked, stage: Any, ids: list[str], held: int | None = 0
) -> Run:
    """Drive a run whose generator had some tasks or events accepted; everything around it is a stand-in."""

    @asynccontextmanager
    async def generated(*_: Any, run: Run, **__: Any) -> AsyncIterator[dict[str, Any]]:
        run.accepted = len(ids)
        accepted = {"ids": ids, "request": list(range(len(ids))), "refused": 0}
        yield {"accepted": accepted, "at": 0.0, "wall": 0.0}

    @asynccontextmanager
    async def stood_in(*_: Any, **__: Any) -> AsyncIterator[Any]:
        yield Mock(amqp_url="amqp://h/v", end=Consumer().end, pid=1)

    async def emptied(*_: Any) -> int | None:
        return held

    async def gone_back(_: Any) -> int | None:
        return held

    async def until_read(*_: Any, **__: Any) -> tuple[dict[str, float], int | None]:
        return {"kept": 0.2}, held

    monkeypatch.setattr(driving, "_generated", generated)
    monkeypatch.setattr(driving, "scratch_space", stood_in)
    monkeypatch.setattr(driving, "worker", stood_in)
    monkeypatch.setattr(draining, "until_empty", emptied)
    monkeypatch.setattr(draining, "given_back", gone_back)
    monkeypatch.setattr(draining, "until_read", until_read)
    run = a_run()
    drive = driving._straight if asked.straight else driving._to_the_helper
    await drive(stage, asked, asyncio.Event(), run, Bar().say)
    return run


async def test_an_event_that_came_unconfirmed_makes_up_for_none_that_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked("t", "steady", [0.0, 1.0, 2.0], 1, [], straight=True, workers=1)
    run = await driven(monkeypatch, asked, Mock(), ["kept", "lost"])
    assert run.effects == [(0.0, 0.2)]
    assert (run.accepted, run.values["lost"]) == (2, 1)


@pytest.mark.parametrize("straight", [True, False])
async def test_a_run_whose_queues_are_not_empty_says_what_is_pending(
    monkeypatch: pytest.MonkeyPatch, straight: bool
) -> None:
    asked = Asked("t", "steady", [0.0, 1.0, 2.0], 1, [], straight=straight, workers=1)
    stage = Mock(document={"helper_url": ""}, headers=lambda *_, **__: {"Authorization": ""})
    run = await driven(monkeypatch, asked, stage, ["kept", "waiting"], held=1)
    assert run.values["pending"] == 1
    assert "lost" not in run.values


async def test_a_long_schedule_has_a_token_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, identity = Asked("t", "steady", [0.0, 7200.0], 1, []), Mock()
    stage = Stage(Mock(), {"helper_url": ""}, identity, Bar().say, Mock())
    await driven(monkeypatch, asked, stage, ["kept"])
    assert identity.mint.call_args.kwargs["seconds"] > 7200 + asked.grace_s


def test_a_schedule_that_no_token_is_good_for_is_refused_ahead() -> None:
    day = 24 * 3600.0
    with pytest.raises(LaundryError, match="24 hours at most"):
        Asked("t", "steady", [0.0, day], 1, [])
    assert Asked("t", "steady", [0.0, day], 1, [], straight=True).token_s > day
