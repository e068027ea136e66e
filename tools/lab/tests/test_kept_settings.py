"""What a measurement changes in the running stack is as before once it has ended, however it ends."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from laundry.paths import StackPaths
from laundry.stack import changes
from laundry.stack import restart as restarting
from laundry_catalogue import copies_of
from laundry_lab import kept_settings as keeping
from laundry_lab.bench import tracing
from laundry_lab.bench.stage import Stage
from laundry_lab.commands import measuring
from laundry_lab.faults import clocks
from laundry_lab.faults.world import World
from laundry_lab.kept_settings import kept_settings
from laundry_lab.verify import rollout
from laundry_lab.verify.outcomes import Verification

OWN = {"LAUNDRY_LOG_LEVEL": "INFO", rollout.SETTING: "7", tracing.ENDPOINT: "http://collector:4318"}
"""What every process was started with."""


class Supervised:
    """Notes the environment with which each process was started again."""

    def __init__(self, paths: StackPaths) -> None:
        self.paths = paths
        self.starts: list[tuple[str, dict[str, str]]] = []

    def environment(self, name: str) -> dict[str, str]:
        return {**OWN, **changes.of_process(self.paths, name)}

    def restart(self, paths: StackPaths, name: str, settings: Mapping[str, str] | None = None) -> int:
        if settings:
            changes.change(paths, name, dict(settings))
        self.starts.append((name, self.environment(name)))
        return os.getpid()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervised:
    found = Supervised(StackPaths(tmp_path))
    found.paths.changes_file.parent.mkdir(parents=True)
    for module in (keeping, rollout, clocks, restarting):
        monkeypatch.setattr(module, "restart", found.restart)
    return found


BEFORE = [{}, {"LAUNDRY_LOG_LEVEL": "DEBUG"}, {rollout.SETTING: "9", tracing.DELAY: "100", "FAKETIME": "+1h"}]


@pytest.fixture(params=BEFORE, ids=["nothing was changed", "something else was", "the same was"])
def changed(request: pytest.FixtureRequest, stack: Supervised) -> dict[str, str]:
    """What somebody had changed in all processes before."""
    for name in ("mlops", *copies_of("helper"), "ai-consumer-1"):
        if request.param:
            changes.change(stack.paths, name, request.param)
    return dict(request.param)


def stage_of(stack: Supervised) -> Stage:
    document = {"pids": {"mlops": 5, "helper": 6}, "helper_url": "http://127.0.0.1:9"}
    return Stage(stack.paths, document, Mock(), lambda *_: lambda _: None, Mock(), scale=0.1)


async def test_settings_are_as_before_though_the_block_fails_and_others_are_left_alone(
    stack: Supervised, changed: dict[str, str]
) -> None:
    before = stack.environment("mlops")
    with pytest.raises(RuntimeError, match="in between"):
        async with kept_settings(stack.paths, "mlops", rollout.SETTING):
            stack.restart(stack.paths, "mlops", {rollout.SETTING: "4321"})
            changes.change(stack.paths, "mlops", {"LAUNDRY_AMQP_PASSWORD": "rotated"})
            changes.change(stack.paths, "search", {"LAUNDRY_LOG_LEVEL": "WARNING"})
            raise RuntimeError("in between")
    now = {**before, "LAUNDRY_AMQP_PASSWORD": "rotated"}
    assert stack.environment("mlops") == now
    assert stack.starts[-1] == ("mlops", now)
    assert changes.of_process(stack.paths, "search") == {"LAUNDRY_LOG_LEVEL": "WARNING"}


async def test_a_process_in_which_nothing_was_changed_is_not_started_again(stack: Supervised) -> None:
    async with kept_settings(stack.paths, "mlops", rollout.SETTING):
        pass
    assert stack.starts == []


async def test_mlops_learns_as_before_once_its_rollout_is_verified(
    stack: Supervised, changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def upload(_: Stage, __: object, found: Verification, *more: object) -> None:
        found.series.uploads.append((0.0, 0.1))

    async def refused(_: Stage) -> str:
        return f"too few: {stack.environment('mlops')[rollout.SETTING]} are needed"

    for name, stand_in in (("_upload", upload), ("_ask_for_refit", refused)):
        monkeypatch.setattr(rollout, name, stand_in)
    monkeypatch.setattr(rollout, "_starts", lambda _: {"mlops": (len(stack.starts), 0.0)})
    for name in ("BEFORE_S", "AFTER_S"):
        monkeypatch.setattr(rollout, name, 0.01)
    before = stack.environment("mlops")
    found = Verification({})
    await rollout.check(stage_of(stack), found)
    assert found.outcomes[0].status == "pass"
    assert stack.environment("mlops") == before
    assert stack.starts[-1] == ("mlops", before)


async def test_traces_go_where_they_went_once_they_are_measured(
    stack: Supervised, changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def uploaded(*_: object) -> tuple[float, float]:
        return 100.0, 2.0

    monkeypatch.setattr(tracing, "_uploaded", uploaded)
    monkeypatch.setattr(tracing, "_stopped", lambda _: 0.1)
    monkeypatch.setattr(tracing, "Pictures", Mock())
    # Of the command, not of the stack.
    monkeypatch.setenv(tracing.ENDPOINT, "http://elsewhere:4318")
    before = stack.environment("helper")
    await tracing.measure(stage_of(stack))
    copies = copies_of("helper")
    assert len(stack.starts) == (4 * 2 + 1) * len(copies)
    assert [stack.environment(each) for each in copies] == [before] * len(copies)
    assert sorted(name for name, given in stack.starts[-len(copies) :] if given == before) == sorted(copies)
    assert not (stack.paths.telemetry / "helper").exists()


async def test_a_reader_whose_clock_was_off_has_its_own_again(
    stack: Supervised, changed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "faketime_library", lambda: Path("/usr/lib/faketime/libfaketimeMT.so.1"))
    world = World(stage_of(stack), Mock())
    before = stack.environment("ai-consumer-1")
    async with clocks.with_clock(world, "ai-consumer-1", "+10m") as off:
        assert not off, "this process has no such library"
        assert stack.environment("ai-consumer-1")["FAKETIME"] == "+10m"
    assert stack.environment("ai-consumer-1") == before
    assert stack.starts[-1] == ("ai-consumer-1", before)


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_a_command_finds_the_same_stack_after_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    def started(_: int) -> Any:
        raise RuntimeError(os.environ["LAUNDRY_VAR_DIR"])

    monkeypatch.setattr(measuring, "measured_stack", started)
    if before is None:
        monkeypatch.delenv("LAUNDRY_VAR_DIR", raising=False)
    else:
        monkeypatch.setenv("LAUNDRY_VAR_DIR", before)
    with pytest.raises(RuntimeError, match="laundry-bench-"), measuring.own_stack({}):
        pass
    assert os.environ.get("LAUNDRY_VAR_DIR") == before
