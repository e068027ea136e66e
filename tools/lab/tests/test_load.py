"""What the load generator sends, measures, and says of it."""

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from laundry.cli import app
from laundry_lab.bench.stage import suspended
from laundry_lab.load import patterns
from laundry_lab.load.arrivals import DROPPED, NOT_SENT, OK, UNANSWERED, OpenLoop, Requests
from laundry_lab.load.comparing import Comparison
from laundry_lab.load.driving import Asked, drive
from laundry_lab.load.figures import edges, histogram
from laundry_lab.load.ownership import check_owned
from laundry_lab.load.page import comparison_page, run_page
from laundry_lab.load.runs import Run
from laundry_lab.load.thresholds import Threshold
from laundry_lab.load.watching import Sample
from laundry_servers.errors import LaundryError

SERVER = Path(__file__).with_name("taking_server.py")


@given(st.integers(0, 999), st.floats(0.5, 200), st.floats(0.5, 300))
def test_a_seed_draws_the_same_arrivals_in_order_and_in_time(seed: int, rate: float, seconds: float) -> None:
    for drawn in (
        patterns.steady(max(rate, 2 / seconds), seconds, seed=seed),
        patterns.spike(max(1, round(rate)), seconds, seed=seed),
        patterns.ramp(max(rate, 4 / seconds), seconds, seed=seed),
    ):
        assert drawn == sorted(drawn)
        assert 0 <= drawn[0] <= drawn[-1] <= seconds
    assert patterns.steady(50, 10, seed=seed) == patterns.steady(50, 10, seed=seed)
    assert patterns.steady(50, 10, seed=seed) != patterns.steady(50, 10, seed=seed + 1)


def test_each_pattern_has_its_shape() -> None:
    def thirds(arrivals: Sequence[float], seconds: float) -> list[float]:
        return [
            sum(turn <= 3 * at / seconds < turn + 1 for at in arrivals) / len(arrivals) for turn in range(3)
        ]

    assert thirds(patterns.steady(50, 300, seed=1), 300) == pytest.approx([1 / 3] * 3, abs=0.02)
    spike = patterns.spike(1000, 60, seed=1)
    assert len(spike) == 1000
    assert thirds(spike, 60) == pytest.approx([2 / 9, 5 / 9, 2 / 9], abs=0.05)
    assert thirds(patterns.ramp(100, 60, seed=1), 60) == pytest.approx([1 / 9, 3 / 9, 5 / 9], abs=0.03)


def test_even_arrivals_have_even_intervals() -> None:
    assert patterns.steady(4, 1, seed=None) == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.5\n10\n\n11\n", [0, 0.5, 1.25]),
        ("2026-11-27T09:00:00+09:00\n2026-11-27T09:00:03+09:00", [0, 1.5]),
        (json.dumps({"requests": {"due_us": [500_000, 2_500_000]}}), [0, 1]),
    ],
)
def test_what_was_recorded_is_replayed_twice_as_fast(
    tmp_path: Path, text: str, expected: list[float]
) -> None:
    file = tmp_path / "recorded"
    file.write_text(text)
    assert patterns.recorded(file, faster=2) == expected


@pytest.mark.parametrize("text", ["", "soon", "nan", "{}", '{"requests": 3}', "[1, 2]"])
def test_a_file_without_arrivals_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recorded"
    file.write_text(text)
    with pytest.raises(LaundryError):
        patterns.recorded(file)
    with pytest.raises(LaundryError):
        patterns.recorded(tmp_path / "none")


def test_a_batch_is_sent_when_its_last_photo_is_there() -> None:
    assert patterns.in_batches([0.0, 1.0, 2.0, 3.0, 4.0], 2) == [1, 3, 4]


async def test_arrivals_do_not_wait_for_answers_and_what_finds_no_room_is_dropped() -> None:
    answer = asyncio.Event()
    begun: list[int] = []

    async def send(number: int, _: float) -> str:
        begun.append(number)
        await answer.wait()
        return OK

    loop = OpenLoop(send, at_once=2, waiting=3)
    running = asyncio.create_task(loop.run([0.01 * number for number in range(10)], asyncio.Event()))
    await asyncio.sleep(0.3)
    assert begun == [0, 1]
    answer.set()
    found = await running
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
        await asyncio.sleep(2)
    run = await running
    assert run.values["failed"] == run.values["dropped"] == 0
    assert run.accepted == 500
    assert run.values["p99"] >= 1900
    assert run.values["uncorrected_p99"] < 1000


async def test_a_run_that_is_interrupted_reports_what_there_is(taking: tuple[int, str]) -> None:
    begun = Begun()
    run = await drive(None, asked(taking[1], patterns.steady(20, 600, seed=3)), begun.event, begun.say)
    assert run.interrupted
    assert run.values["failed"] == 0
    assert 0 < run.accepted == run.values["arrivals"] < 200
    assert run.values["not_sent"] == len(run.requests.due_us) - run.accepted


async def test_nobody_answers_and_every_request_is_a_failure() -> None:
    run = await drive(None, asked("http://127.0.0.1:9", [0.0, 0.1]), asyncio.Event(), silent)
    assert run.requests.outcomes[-1] == "ConnectError"
    assert run.values["failed"] == 2
    assert run.values["p50"] == math.inf
    assert "uncorrected_p50" not in run.values


def made_up(thresholds: Sequence[str] = (), *, slow: float = 1.0) -> Run:
    """A run of 200 requests, one of which failed and one of which was dropped."""
    requests = Requests.scheduled([number / 20 for number in range(200)])
    chance = random.Random(4)
    for number, due in enumerate(requests.due_us):
        requests.arrived_us[number] = due + 500
        requests.sent_us[number] = due + 600
        requests.done_us[number] = due + round(slow * chance.uniform(5_000, 30_000))
        requests.ends(number, OK)
    requests.ends(7, "503 photo-decoder-busy")
    requests.ends(8, DROPPED)
    plan = {
        "title": "a <made-up> run", "pattern": "steady", "seed": 4, "photos": 200, "seconds": 10.0,
        "batch": 1, "target": "helper", "photo": "small", "at_once": 64,
    }  # fmt: skip
    return Run(
        plan,
        {"processor": "one", "cores": 2, "commit": "abc"},
        requests,
        accepted=198,
        effects=[(number / 20, 0.4) for number in range(197)],
        samples=[
            Sample(float(at), {"task.submitted": at}, {"helper": 30.0, "broker": 9.0}, {"helper": 90.0})
            for at in range(1, 11)
        ],
        marks=[(5.0, "helper stopped for 2 s")],
        thresholds=[Threshold.parse(each) for each in thresholds],
    )


def test_what_failed_or_was_dropped_never_ends() -> None:
    values = made_up().values
    assert values["arrivals"] == 200
    assert (values["failed"], values["dropped"], values["lost"]) == (1, 1, 1)
    assert values["p95"] < 31
    assert values["p99.9"] == values["max"] == math.inf
    assert values["uncorrected_max"] < 31
    assert values["lateness_max"] == 0.5
    assert values["effect_p50"] == 400
    assert values["effect_max"] == math.inf
    assert (values["backlog"], values["processor"], values["memory"]) == (10, 39, 90)


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("p95<=31ms", True),
        ("p95 <= 0.031 s", True),
        ("p95<=20", False),
        ("max<=99999", False),
        ("failed<=0", False),
        ("throughput>=10/s", True),
        ("processor<=39%", True),
        ("refused<=0", False),
    ],
)
def test_a_threshold_is_reached_or_not_and_what_was_not_measured_is_not(text: str, passed: bool) -> None:
    run = made_up([text])
    assert run.passed is passed


@pytest.mark.parametrize("text", ["", "p99", "p99<300", "speed<=1", "p99<=1%", "failed<=1ms", "p99<=-1"])
def test_a_threshold_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LaundryError):
        Threshold.parse(text)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = made_up(["p95<=31ms", "failed<=0"])
    run.write(tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["passed"] is False
    assert document["figures"]["max"] is None
    again = Run.read(tmp_path / "run.json")
    assert again.values == run.values
    assert again.verdicts == run.verdicts
    assert (again.plan, again.surroundings, again.samples) == (run.plan, run.surroundings, run.samples)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(LaundryError, match="another version"):
        Run.read(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(LaundryError, match="no run"):
        Run.read(tmp_path / "run.json")


class Asking(HTMLParser):
    """Notes whatever a page would fetch or run, and whether what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object"):
            self.asked.append(tag)
        self.asked += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_asks_nobody_for_anything_and_says_what_was_measured() -> None:
    run = made_up(["p95<=31ms", "failed<=0"])
    for page in (run_page(run), comparison_page(Comparison(run, made_up(slow=2), ("before", "after")))):
        asking = Asking(page)
        assert asking.asked == []
        assert asking.open == []
        assert "url(" not in page
        assert "a &lt;made-up&gt; run" in page
        for said in ("p99.9", "Throughput", "Backlog", "Processor", "Memory", "Failures", "abc"):
            assert said in page
    page = run_page(run)
    assert "helper stopped for 2 s" in page
    assert "503 photo-decoder-busy" in page
    assert page.count('class="fail"') == 2


def test_a_run_of_nothing_but_failures_has_a_report() -> None:
    run = made_up()
    for number in range(200):
        run.requests.ends(number, "ConnectError")
    run.samples.clear()
    assert Asking(run_page(run)).open == []


def test_a_comparison_tells_ratios_and_in_what_the_runs_differ() -> None:
    before, after = made_up(), made_up(slow=2)
    after.plan["batch"] = 5
    found = Comparison(before, after, ("before", "after"))
    ratios = {each.name: each.ratio for each in found.differences()}
    assert ratios["p50"] == pytest.approx(2, abs=0.01)
    assert ratios["max"] is None
    assert found.unlike() == ["batch: 1 and 5"]


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=300))
def test_every_request_is_in_the_histogram_once(seconds: list[float]) -> None:
    assert sum(histogram(seconds, edges(seconds))) == len(seconds)


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
        (["spike", "--rate", "5"], "--number"),
        (["compare", "one.json"], "Name two runs"),
        (["steady", "--photo", "huge"], "--photo is one of"),
        (["steady", "--threshold", "soon"], "no threshold"),
        (["steady", "--rate", "1000000", "--for", "1000"], "Change --rate or --for"),
        (["steady", "--url", "http://192.0.2.1"], "not this machine"),
        (["steady", "--url", "http://127.0.0.1:9"], "LAUNDRY_TOKEN"),
        (["steady", "--url", "http://127.0.0.1:9", "--straight"], "need the stack"),
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
        ["load", "steady", "--rate", "20", "--for", "1", "--seed", "1", *here, "--threshold", "failed<=0"],
    )
    assert once.exit_code == 0, once.output
    run = tmp_path / "load-steady.json"
    began = time.monotonic()
    again = CliRunner().invoke(app, ["load", "replay", str(run), *here, "--threshold", "throughput>=100000"])
    assert again.exit_code == 1, again.output
    assert time.monotonic() - began < 60
    assert Run.read(tmp_path / "load-replay.json").values["arrivals"] == 20
    told = CliRunner().invoke(
        app, ["load", "compare", str(run), str(tmp_path / "load-replay.json"), "--output", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    assert (tmp_path / "load-compare.html").exists()
