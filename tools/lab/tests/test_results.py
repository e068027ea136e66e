"""Results are told though they cannot be written, and no options are taken that have no effect."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.bench.figures import Figure
from laundry_lab.commands import (
    bench,
    compare_approaches,
    compare_peers,
    compare_queues,
    faults,
    load,
    verify,
)
from laundry_lab.commands.load_options import EVERYWHERE, ONLY
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.compare.approaches.trials import Result
from laundry_lab.compare.peers.results import KINDS, Round
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.suite import Result as FaultResult
from laundry_lab.verify.outcomes import Outcome
from laundry_servers.errors import LaundryError

from .test_load_report import made_up

COMMANDS = {
    "load": ["load", "steady", "--for", "1"],
    "bench": ["bench", "--only", "memory"],
    "verify": ["verify", "--only", "publish"],
    "faults": ["faults", "--only", "poison"],
    "peers": ["compare", "peers", "--only", "ours"],
    "approaches": ["compare", "approaches", "--only", "ours"],
    "queues": ["compare", "queues"],
}
SAID = {
    "load": "made-up", "bench": "idle memory", "verify": "mean of one", "faults": "poison",
    "peers": "enqueue/s", "approaches": "Approaches, one workload", "queues": "a queue for each",
}  # fmt: skip
"""Something that each shows of what was measured."""


class Measured(Exception):
    """A measurement has begun."""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A stack that does not exist, and measurements that say at once what they found."""
    began = Mock()
    document = {"amqp_urls": ["amqp://127.0.0.1:1"], "helper_url": "http://127.0.0.1:1"}

    @contextmanager
    def stack(*_: Any, **__: Any) -> Iterator[Any]:
        began()
        yield Mock(document=document, nodes=1)

    for module in (bench, faults, load, verify):
        monkeypatch.setattr(module, "measured_stack", stack)
        monkeypatch.setattr(module, "LocalIdentity", Mock())
        monkeypatch.setattr(module, "target", Mock())
    monkeypatch.setattr(load, "_driven", lambda *_: made_up())
    monkeypatch.setitem(bench.MEASURES, "memory", _memory)
    monkeypatch.setattr(bench, "PAUSE_S", 0)
    monkeypatch.setattr("laundry.stack.state.running_stack", lambda _: document)
    monkeypatch.setitem(verify.CHECKS, "publish", _publish)
    monkeypatch.setattr("laundry_lab.faults.suite.run", _faults)
    monkeypatch.setattr("laundry_lab.faults.tools.provide", lambda *_: None)
    monkeypatch.setattr(faults, "World", lambda stage, load: Mock(stage=stage, load=load, marks=[]))
    for module, name, found in (
        (compare_peers, "servers", Mock(started=stack)),
        (compare_peers, "run", _peers),
        (compare_approaches, "compare", _approaches),
        (compare_queues, "_broker", stack),
        (compare_queues, "measure", _queues),
    ):
        monkeypatch.setattr(module, name, found)
    return began


async def _memory(_: Any) -> list[Figure]:
    return [Figure("memory", "idle memory", 1.0, "MB")]


async def _publish(_: Any, found: Any) -> None:
    found.outcomes.append(Outcome("c", "mean of one", 1.0, "ms", 10))


async def _faults(_: Any, chosen: Any, __: Any, done: Any, ___: Any) -> None:
    done(FaultResult(chosen[0], 1.0, [], Findings(settled_s=0.1)))


async def _peers(*_: Any, found: Any, **__: Any) -> None:
    found.rounds.append(
        Round("ours", "speed", 1, {kind.name: 1.0 for kind in KINDS if kind.measure == "speed"})
    )


async def _approaches(chosen: Any, _: Any, __: Any, found: list[Result]) -> None:
    found.append(Result(chosen[0], {"steady_p50_ms": 1.0}))


async def _queues(*_: Any) -> dict[str, float]:
    return {"steady_missing": 0.0}


def ask(name: str, *more: str) -> Any:
    return CliRunner().invoke(app, [*COMMANDS[name], *more])


def output_of(name: str, folder: Path) -> list[str]:
    return ["--output", str(folder / "bench.json" if name == "bench" else folder)]


def words(result: Any) -> str:
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("name", COMMANDS)
def test_results_are_told_and_written(name: str, tmp_path: Path) -> None:
    done = ask(name, *output_of(name, tmp_path / "deep" / "er"))
    assert SAID[name] in words(done), done.output
    assert not isinstance(done.exception, Exception)
    written = list((tmp_path / "deep" / "er").glob("*.json"))
    assert len(written) == 1
    assert json.loads(written[0].read_text())


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["a file", "no folder", "a folder in its place"])
def test_a_place_that_nothing_can_be_written_to_is_refused_before_anything_is_measured(
    name: str, place: str, tmp_path: Path, stand_in: Mock
) -> None:
    (tmp_path / "file").touch()
    done = ask(name, *output_of(name, tmp_path / "good"))
    assert stand_in.call_count == (name != "approaches")
    folder = {"a file": tmp_path / "file" / "x", "no folder": Path("/proc/none")}.get(
        place, tmp_path / "good"
    )
    if place == "a folder in its place":
        for each in folder.iterdir():
            each.unlink()
            each.mkdir()
    stand_in.reset_mock()
    done = ask(name, *output_of(name, folder))
    assert done.exit_code == 1
    assert "--output" in words(done) and "Nothing was measured" in words(done)
    assert stand_in.call_count == 0
    assert SAID[name] not in words(done)


@pytest.mark.parametrize("name", COMMANDS)
def test_when_the_disk_is_full_results_are_told_and_kept_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(spare))
    ask(name, *output_of(name, tmp_path / "full"))
    [document] = (tmp_path / "full").glob("*.json")
    document.unlink()
    document.symlink_to("/dev/full")
    done = ask(name, *output_of(name, tmp_path / "full"))
    assert done.exit_code == 1
    told = words(done)
    assert "No space left on device" in told
    assert 0 <= told.index(SAID[name]) < told.index("could not be written")
    assert json.loads((spare / document.name).read_text())


def test_when_there_is_room_nowhere_what_was_told_is_all_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: Path) -> list[Path]:
        raise OSError(28, "No space left on device")

    with pytest.raises(LaundryError, match="copy them from here"):
        keep(tmp_path, write, print)


def test_a_look_at_a_place_changes_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("of before")
    ready_for(tmp_path / "a.json", tmp_path / "b.json")
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "of before"


def test_two_runs_of_one_name_are_compared(tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        made_up().write(tmp_path / folder / "load-steady.json")
    files = [str(tmp_path / folder / "load-steady.json") for folder in ("before", "after")]
    done = CliRunner().invoke(app, ["load", "compare", *files, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "load-compare.html").read_text()
    assert files[0] in page and files[1] in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "replay", "x", "--rate", "5"], "--rate does not apply to replay: steady and ramp take it"),
        (["load", "spike", "--rate", "5"], "--rate does not apply to spike"),
        (["load", "steady", "--number", "5"], "--number does not apply to steady: spike takes it"),
        (["load", "ramp", "--faster", "2"], "--faster does not apply to ramp: replay takes it"),
        (
            ["load", "replay", "x", "--for", "2"],
            "--for does not apply to replay: spike, steady and ramp take it",
        ),
        (["load", "replay", "x", "--even"], "--even does not apply"),
        (["load", "compare", "x", "y", "--seed", "1"], "--seed does not apply to compare"),
        (["load", "compare", "x", "y", "--i-own-this-system"], "--i-own-this-system does not apply"),
        (["load", "steady", "--workers", "2"], "--workers applies only to a --straight run"),
        (["load", "steady", "--work-ms", "2"], "--work-ms applies only"),
        (["load", "steady", "--straight", "--photo", "large"], "--straight sends events"),
        (["load", "steady", "--branch", "b"], "--branch applies only to photos that go to --url"),
        (["load", "steady", "--url", "http://127.0.0.1:9", "--nodes", "3"], "--nodes applies only"),
        (["load", "steady", "--url", "http://127.0.0.1:9", "--hold", "helper"], "--hold applies only"),
        (["load", "steady", "--url", "http://127.0.0.1:9", "--straight"], "--straight applies only"),
        (["load", "steady", "--for", "nan"], "Invalid value"),
        (["load", "steady", "--rate", "inf"], "is no number"),
        (["bench", "--only", "memory", "--largest", "5"], "--largest applies only to --only scale"),
        (["bench", "--only", "scale", "--nodes", "3"], "--nodes does not apply to scale"),
        (["bench", "--scale", "nan"], "Invalid value"),
        (["faults", "--soak", "1", "--only", "poison"], "--only does not apply to a --soak"),
        (["faults", "--soak", "1", "--alerts"], "--alerts does not apply to a --soak"),
        (["faults", "--seed", "1"], "--seed applies only to a --soak"),
        (["faults", "--soak", "inf"], "is no number"),
        (["load", "replay", "x", "--faster", "inf"], "is no number"),
        (["load", "steady", "--straight", "--work-ms", "inf"], "is no number"),
        (["faults", "--soak", "nan"], "Invalid value"),
    ],
)
def test_an_option_without_effect_is_refused(arguments: list[str], said: str, stand_in: Mock) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert said in words(done)
    assert stand_in.call_count == 0


def test_every_option_of_a_pattern_is_one_of_the_command() -> None:
    assert {*ONLY, *EVERYWHERE} <= {*load.load.__annotations__}
