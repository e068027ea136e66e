"""What worker processes report arrives whole, however much it is."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_lab.bench import reports, roles
from laundry_lab.bench.reports import Joined, lines
from laundry_lab.bench.workers import LINE_BYTES, Worker
from laundry_lab.load import patterns
from laundry_lab.load.arrivals import Requests
from laundry_lab.load.driving import Asked


def test_a_run_of_as_many_photos_as_may_be_asked_is_reported_in_lines_that_can_be_read() -> None:
    number = patterns.MOST
    requests = Requests.scheduled([3600.0] * number)
    requests.arrived_us = requests.sent_us = requests.done_us = requests.due_us
    accepted = {"ids": ["01900000-0000-7000-8000-000000000001"] * number, "request": [number] * number}
    report = {"requests": requests.document(), "accepted": {**accepted, "refused": 0}, "processor_s": 1.5}
    joined, longest, whole = Joined(), 0, None
    for line in lines("seen", report):
        assert whole is None
        text = json.dumps(line)
        longest = max(longest, len(text))
        whole = joined.take(json.loads(text))
    assert longest < LINE_BYTES / 20
    assert whole == {"said": "seen", **report}


def test_the_order_of_as_many_photos_as_may_be_asked_fits_a_line() -> None:
    arrivals = patterns.steady(patterns.MOST / 3600, 3600, seed=1)
    assert len(json.dumps(Asked("t", "steady", arrivals, 1, []).order())) < LINE_BYTES


found = st.recursive(
    st.integers() | st.text() | st.lists(st.integers(), max_size=9),
    lambda inside: st.dictionaries(st.text(max_size=3), inside, max_size=4),
)


@given(st.dictionaries(st.text(max_size=3).filter(lambda name: name != "said"), found, max_size=4))
def test_a_report_is_joined_to_what_it_was(report: dict[str, Any]) -> None:
    joined, most = Joined(), reports.MOST
    reports.MOST = 2
    try:
        taken = [joined.take(json.loads(json.dumps(line))) for line in lines("seen", report)]
    finally:
        reports.MOST = most
    assert taken[:-1] == [None] * (len(taken) - 1)
    assert taken[-1] == {"said": "seen", **report}


async def test_a_role_says_in_pieces_what_its_worker_hears_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reports, "MOST", 2)
    roles.say("seen", seen=[1, 2, 3, 4, 5], ended={"deep": [6, 7, 8]})
    told = capsys.readouterr().out
    assert told.count("\n") > 3
    stdout = asyncio.StreamReader()
    stdout.feed_data(told.encode() + b"a line of its log\n")
    stdout.feed_eof()
    process: Any = Mock(stdout=stdout, stderr=None, returncode=0)
    worker = Worker(process)
    assert await worker.hear("seen") == {
        "said": "seen",
        "seen": [1, 2, 3, 4, 5],
        "ended": {"deep": [6, 7, 8]},
    }
    await worker._over
    assert worker.log_lines == 1
