"""The load generator at work: its open loop, and its command."""

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry_events.errors import BrokerUnavailable
from laundry_lab.bench.stage import NotMeasured, suspended
from laundry_lab.bench.workers import ROLES
from laundry_lab.load import patterns, targets
from laundry_lab.load.arrivals import DROPPED, NOT_SENT, OK, UNANSWERED, OpenLoop
from laundry_lab.load.driving import Asked, drive
from laundry_lab.load.ownership import check_owned
from laundry_lab.load.runs import Run
from laundry_lab.load.targets import Accepted, publishes
from laundry_servers.errors import LaundryError

SERVER = Path(__file__).with_name("taking_server.py")


async def test_arrivals_do_not_wait_for_answers_and_what_finds_no_room_is_dropped() -> None:
    answer = asyncio.Event()
    begun: list[int] = []
    arrived: list[int] = []

    async def send(number: int, _: float) -> str:
        begun.append(number)
        arrived.append(loop.arrived)
        await answer.wait()
        return OK

    loop = OpenLoop(send, at_once=2, waiting=3)
    running = asyncio.create_task(loop.run([0.01 * number for number in range(10)], asyncio.Event()))
    await asyncio.sleep(0.3)
    assert begun == [0, 1]
    assert arrived == [1, 2]
    answer.set()
    found = await running
    assert loop.arrived == 10
    assert found.of(OK) == [0, 1, 2, 3, 4]
    assert found.of(DROPPED) == [5, 6, 7, 8, 9]
    assert found.failed == []
    # The third was due after 20 ms and waited for a connection until the first two were answered.
    assert found.done_us[2] - found.due_us[2] > 200_000 > found.done_us[2] - found.sent_us[2]


async def test_an_interrupted_run_tells_what_was_not_due_and_what_had_no_answer() -> None:
    stop = asyncio.Event()

    async def send(number: int, _: float) -> str:
        if number == 1:
            stop.set()
            await asyncio.sleep(60)
        return OK if number == 0 else "500"

    found = await OpenLoop(send, at_once=1, waiting=10, grace_s=0.1).run([0, 0, 0, 30], stop)
    assert [found.outcomes[each] for each in found.outcome][:2] == [OK, UNANSWERED]
    assert found.outcome[3] == found.outcomes.index(NOT_SENT)
    assert set(found.failed) == {1, 2} - set(found.of(NOT_SENT))


async def test_a_send_that_breaks_its_promise_is_not_swallowed() -> None:
    async def send(_: int, __: float) -> str:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        await OpenLoop(send, grace_s=1).run([0], asyncio.Event())


async def test_only_events_that_the_broker_confirmed_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    number = iter(range(100))

    class Confirming:
        """Confirms every other event."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def wait_connected(self) -> None: ...

        async def stop(self) -> None: ...

        async def publish(self, _: Any) -> str:
            if (at := next(number)) % 2:
                raise BrokerUnavailable("away")
            return f"event-{at}"

    monkeypatch.setattr(targets, "Publisher", Confirming)
    accepted = Accepted()
    async with publishes({"amqp_url": "", "batch": 3, "photos": 5, "bytes": 1024}, accepted) as send:
        assert [await send(0, 0.0), await send(1, 0.0)] == ["BrokerUnavailable"] * 2
    assert (accepted.ids, accepted.request) == (["event-0", "event-2", "event-4"], [0, 0, 1])


@pytest.fixture
def taking() -> Iterator[tuple[int, str]]:
    """A server process that takes everything: its process id and its address."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.pid, f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.stdin.close()
        server.wait(20)


def asked(url: str, arrivals: list[float], **more: Any) -> Asked:
    told = {"branch": "b1", "authorization": "Bearer none", **more}
    return Asked("a test", "steady", arrivals, 1, [], url=url, **told)


class Begun:
    """Tells when a generator has sent something: it draws its photos before."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def say(self, _: str, __: float) -> Any:
        return lambda steps: self.event.set() if steps else None


def silent(_: str, __: float) -> Any:
    return lambda ___: None


async def test_a_server_that_stands_still_for_two_seconds_shows_in_p99_and_is_hidden_without_correction(
    taking: tuple[int, str],
) -> None:
    pid, url = taking
    arrivals = patterns.steady(100, 5, seed=None)
    begun = Begun()
    asking = asked(url, arrivals, at_once=2)
    running = asyncio.create_task(drive(None, asking, asyncio.Event(), begun.say))
    await asyncio.wait_for(begun.event.wait(), 60)
    async with suspended([pid]):
        began = time.monotonic()
        await asyncio.sleep(2)
        stood_ms = (time.monotonic() - began) * 1000
    run = await running
    assert run.values["failed"] == run.values["dropped"] == 0
    assert run.accepted == 500
    assert run.values["p99"] >= 0.95 * stood_ms
    assert run.values["uncorrected_p99"] < stood_ms / 2


async def test_a_run_that_is_interrupted_reports_what_there_is(taking: tuple[int, str]) -> None:
    begun = Begun()
    run = await drive(None, asked(taking[1], patterns.steady(20, 600, seed=3)), begun.event, begun.say)
    assert run.interrupted
    assert run.values["failed"] == 0
    assert 0 < run.accepted == run.values["arrivals"] < 200
    assert run.values["not_sent"] == len(run.requests.due_us) - run.accepted


async def test_a_run_whose_generator_is_killed_ends_at_once(taking: tuple[int, str]) -> None:
    begun = Begun()
    asking = asked(taking[1], patterns.steady(20, 600, seed=3))
    running = asyncio.create_task(drive(None, asking, asyncio.Event(), begun.say))
    await asyncio.wait_for(begun.event.wait(), 60)
    [generator] = [each for each in psutil.Process().children() if ROLES in each.cmdline()]
    generator.kill()
    with pytest.raises(NotMeasured, match=r"process 'load' was killed \(SIGKILL\)"):
        await asyncio.wait_for(running, 15)


async def test_nobody_answers_and_every_request_is_a_failure() -> None:
    run = await drive(None, asked("http://127.0.0.1:9", [0.0, 0.1]), asyncio.Event(), silent)
    assert run.requests.outcomes[-1] == "ClientConnectorError"
    assert run.values["failed"] == 2
    assert run.values["p50"] == math.inf
    assert "uncorrected_p50" not in run.values


def test_only_what_is_of_this_machine_is_loaded_unless_its_owner_says_so() -> None:
    check_owned("http://127.0.0.1:8001", owned=False)
    check_owned("amqp://somebody:secret@localhost:5672/v", owned=False)
    with pytest.raises(LaundryError, match="--i-own-this-system"):
        check_owned("http://192.0.2.1:8001", owned=False)
    check_owned("http://192.0.2.1:8001", owned=True)
    with pytest.raises(LaundryError, match="no address"):
        check_owned("helper", owned=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay"], "Name one file"),
        (["steady", "some.json"], "takes no file"),
        (["compare", "one.json"], "Name two runs"),
        (["steady", "--photo", "huge"], "--photo is one of"),
        (["steady", "--threshold", "soon"], "no threshold"),
        (["steady", "--rate", "1000000", "--for", "1000"], "Change --rate or --for"),
        (["steady", "--url", "http://192.0.2.1"], "not this machine"),
        (["steady", "--url", "http://127.0.0.1:9"], "LAUNDRY_TOKEN"),
        (["steady", "--hold", "helpr"], "No stack has a process 'helpr' to hold; there are helper"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_started(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAUNDRY_TOKEN", raising=False)
    result = CliRunner().invoke(app, ["load", *arguments])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def test_the_command_writes_a_run_that_it_can_replay_and_compare(
    taking: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_TOKEN", "t")
    here = ["--url", taking[1], "--output", str(tmp_path)]
    once = CliRunner().invoke(
        app,
        [
            *("load", "steady", "--rate", "20", "--for", "1", "--seed", "1", "--even"),
            *(*here, "--threshold", "failed<=0"),
        ],
    )
    assert once.exit_code == 0, once.output
    run = tmp_path / "load-steady.json"
    plan = Run.read(run).plan
    assert (plan["title"], plan["even"]) == ("steady 20/s for 1 s, evenly", True)
    began = time.monotonic()
    again = CliRunner().invoke(app, ["load", "replay", str(run), *here, "--threshold", "throughput>=100000"])
    assert again.exit_code == 1, again.output
    assert time.monotonic() - began < 60
    replayed = Run.read(tmp_path / "load-replay.json")
    assert replayed.values["arrivals"] == 20
    assert not replayed.plan["even"]
    told = CliRunner().invoke(
        app, ["load", "compare", str(run), str(tmp_path / "load-replay.json"), "--output", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    assert (tmp_path / "load-compare.html").exists()
