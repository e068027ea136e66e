"""What a run of load says: its figures, thresholds, report and comparison."""

import json
import math
import random
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_lab.load.arrivals import DROPPED, OK, Requests
from laundry_lab.load.comparing import ASKED, Comparison
from laundry_lab.load.driving import Asked
from laundry_lab.load.figures import edges, histogram
from laundry_lab.load.page import comparison_page, run_page
from laundry_lab.load.runs import Run
from laundry_lab.load.series import panels
from laundry_lab.load.thresholds import Threshold
from laundry_lab.load.watching import Sample
from laundry_servers.errors import LaundryError


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
        run.requests.ends(number, "ClientConnectorError")
    run.samples.clear()
    assert Asking(run_page(run)).open == []


def test_a_comparison_tells_ratios_and_in_what_the_runs_differ() -> None:
    before, after = made_up(), made_up(slow=2)
    after.plan["at_once"] = 5
    found = Comparison(before, after, ("before", "after"))
    ratios = {each.name: each.ratio for each in found.differences()}
    assert ratios["p50"] == pytest.approx(2, abs=0.01)
    assert ratios["max"] is None
    assert found.unlike() == ["at_once: 64 and 5"]


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("even", False, True, "even: no and yes"),
        ("hold", None, "helper", "hold: none and helper"),
        ("waiting", 10_000, 5, "waiting: 10000 and 5"),
        ("consumers", "3, 0 ms of work each", "1, 0 ms of work each", "consumers: 3, 0 ms"),
    ],
)
def test_whatever_was_asked_otherwise_is_told(name: str, before: Any, after: Any, said: str) -> None:
    one, other = made_up(), made_up()
    one.plan[name], other.plan[name] = before, after
    [told] = Comparison(one, other, ("before", "after")).unlike()
    assert told.startswith(said)
    # A run of an earlier version says nothing of it.
    del one.plan[name]
    assert Comparison(one, other, ("before", "after")).unlike()[0].startswith(f"{name}: not told and ")


def test_other_versions_are_told_each_by_its_name_and_so_is_an_interrupted_run() -> None:
    one, other = made_up(), made_up()
    one.surroundings |= {"servers": {"RabbitMQ": "4.3.0", "PostgreSQL": "18"}, "packages": {"uvloop": "1"}}
    other.surroundings |= {"servers": {"RabbitMQ": "4.3.1", "PostgreSQL": "18"}, "packages": {"uvloop": "2"}}
    other.interrupted = True
    assert Comparison(one, other, ("before", "after")).unlike() == [
        "interrupted: no and yes",
        "RabbitMQ: 4.3.0 and 4.3.1",
        "uvloop: 1 and 2",
    ]


def test_everything_that_a_run_says_was_asked_is_compared_or_its_title() -> None:
    plan = Asked("t", "steady", [0.0], 1, []).plan()
    assert set(plan) == {"title", *ASKED}


def test_a_smaller_last_batch_counts_as_what_it_carries() -> None:
    run = made_up()
    run.plan |= {"batch": 10, "photos": 1991}
    for number in (7, 8):
        run.requests.ends(number, OK)
    span = max(run.requests.done_us) / 1e6
    assert run.values["throughput"] == pytest.approx(1991 / span)
    flow = panels(run)[0].lines
    for name in ("due", "answered"):
        assert sum(value for _, value in flow[name]) == pytest.approx(1991, abs=1)


@given(st.lists(st.floats(1e-6, 100), min_size=1, max_size=300))
def test_every_request_is_in_the_histogram_once(seconds: list[float]) -> None:
    assert sum(histogram(seconds, edges(seconds))) == len(seconds)
