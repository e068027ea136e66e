"""When requests of a load are due, drawn from a seed or recorded; and that none is sent before."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from laundry_lab.load import patterns
from laundry_lab.load.arrivals import OK, OpenLoop, Requests
from laundry_lab.load.runs import Run
from laundry_servers.errors import LaundryError


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
        (
            json.dumps({"plan": {"batch": 3, "photos": 4}, "requests": {"due_us": [0, 2_000_000]}}),
            [0, 0, 0, 1],
        ),
    ],
)
def test_what_was_recorded_is_replayed_twice_as_fast(
    tmp_path: Path, text: str, expected: list[float]
) -> None:
    file = tmp_path / "recorded"
    file.write_text(text)
    assert patterns.recorded(file, faster=2) == expected


@given(st.integers(1, 300), st.integers(1, 20))
def test_a_replay_of_batches_sends_every_photo_and_in_batches_the_same_ones(number: int, size: int) -> None:
    arrivals = patterns.spike(number, 10, seed=number)
    due = patterns.in_batches(arrivals, size)
    plan = {"title": "t", "photos": number, "batch": size}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        Run(plan, {}, Requests.scheduled(due)).write(file)
        again = patterns.recorded(file)
    assert len(again) == number
    assert patterns.in_batches(again, size) == pytest.approx([each - due[0] for each in due], abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "nan", "{}", '{"requests": 3}', "[1, 2]"),
        '{"plan": {"batch": 3, "photos": 9}, "requests": {"due_us": [0]}}',
    ],
)
def test_a_file_without_arrivals_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recorded"
    file.write_text(text)
    with pytest.raises(LaundryError):
        patterns.recorded(file)
    with pytest.raises(LaundryError):
        patterns.recorded(tmp_path / "none")


def test_a_batch_is_sent_when_its_last_photo_is_there() -> None:
    assert patterns.in_batches([0.0, 1.0, 2.0, 3.0, 4.0], 2) == [1, 3, 4]


def test_no_request_is_sent_before_it_is_due() -> None:
    async def send(number: int, due: float) -> str:
        return OK

    # The loop that the generator runs on wakes by whole milliseconds, up to one too early.
    due = [number * 0.00437 for number in range(200)]
    found = uvloop.run(OpenLoop(send).run(due, asyncio.Event()))
    early = [at for at, arrived in zip(found.due_us, found.arrived_us, strict=True) if arrived < at]
    assert early == []
