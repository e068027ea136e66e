"""What the benchmark says of its measurements, and what it measures with."""

import asyncio
import contextlib
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from laundry_lab.bench import readings
from laundry_lab.bench.bare_reading import Bare
from laundry_lab.bench.figures import Figure, Report, show
from laundry_lab.bench.levelling import a_second, variance
from laundry_lab.bench.outage import Proxy
from laundry_lab.bench.pictures import BYTES, Pictures, multipart
from laundry_lab.bench.readings import Floor, Run, _figures, largest_until
from laundry_lab.bench.stage import Stage, suspended
from laundry_lab.commands.bench import _one
from laundry_lab.report import percentile
from laundry_lab.sender import sender_to
from laundry_testing.messaging import eventually


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("value", "at_most", "status"),
    [
        (99.9, True, "pass"),
        (100, True, "pass"),
        (100.1, True, "below"),
        (math.nan, True, "below"),
        (99.9, False, "below"),
        (100, False, "pass"),
        (math.inf, False, "below"),
    ],
)
def test_a_status_is_honest(value: float, at_most: bool, status: str) -> None:
    assert Figure("g", "n", value, "ms", 100, at_most=at_most).status == status


def test_the_report_tells_what_is_below_and_what_was_not_measured(tmp_path: Path) -> None:
    report = Report(
        [
            Figure("g", "fast", 1, "ms", 2),
            Figure("g", "slow", 3, "ms", 2),
            Figure("g", "told", math.nan, "ms"),
        ],
        ["readings: [nobody] reads"],
    )
    report.write(tmp_path / "deep" / "bench.json")
    document = json.loads((tmp_path / "deep" / "bench.json").read_text())
    assert [figure["verdict"] for figure in document["figures"]] == ["pass", "below", "info"]
    assert document["figures"][2]["value"] is None
    told_to = io.StringIO()
    console = Console(file=told_to, width=120)
    show(report, console)
    told = told_to.getvalue()
    assert "3 figures, 1 below their target" in told
    assert "readings: [nobody] reads" in told


def test_photos_never_repeat_have_one_size_and_are_pictures() -> None:
    pictures = Pictures()
    photos = [pictures.photo() for _ in range(20)]
    assert {len(photo) for photo in photos} == {BYTES}
    assert len(set(photos)) == 20
    for photo in photos[:6]:
        with Image.open(io.BytesIO(photo)) as image:
            image.load()
            assert image.format == "JPEG"
    body, content_type = multipart(photos[0], "b1")
    boundary = content_type.partition("boundary=")[2].encode()
    assert body.count(b"--" + boundary) == 3
    assert photos[0] in body


async def test_held_still_processes_go_on_whatever_happens() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(20)
    try:
        process = psutil.Process(child.pid)
        with pytest.raises(RuntimeError, match="in between"):
            async with suspended([gone.pid, child.pid]):
                await eventually(lambda: process.status() == psutil.STATUS_STOPPED, what="the stop")
                raise RuntimeError("in between")
        await eventually(lambda: process.status() != psutil.STATUS_STOPPED, what="the going on")
    finally:
        child.kill()
        child.wait()


async def test_the_largest_that_was_seen_until_the_photos_are_read_counts() -> None:
    loop = asyncio.get_running_loop()
    reading = loop.create_future()
    sizes = iter([120.0, 190.0, 150.0])

    def look() -> float:
        size = next(sizes)
        if size == 150:
            loop.call_soon_threadsafe(reading.set_result, None)
        return size

    assert await largest_until(reading, look, every_s=0.01) == 190


async def test_photos_that_are_read_at_once_are_looked_at_once() -> None:
    reading = asyncio.get_running_loop().create_future()
    reading.set_result(None)
    sizes = iter([120.0])
    assert await largest_until(reading, lambda: next(sizes)) == 120


def test_a_process_has_a_share_of_memory_until_it_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(20)
    stage = Stage(
        Mock(), {"pids": {"here": os.getpid(), "gone": gone.pid}}, Mock(), lambda *_: Mock(), Mock()
    )
    assert 1 < stage.memory_mb("here") < 10_000
    assert stage.memory_mb("gone") == 0


def test_the_replica_that_was_largest_while_it_read_is_a_figure_with_a_target() -> None:
    run = Run(
        rate=100,
        filled=60,
        read=60,
        seconds=0.6,
        replica_ms=12,
        others_ms=6,
        largest_mb=251,
        held=60,
        pushes=[],
    )
    floor = Floor(Bare(200, {"model": 3}), clients_rate=125)
    figures = {figure.name: figure for figure in _figures("g", ["a", "b"], run, floor)}
    largest = figures["largest replica (PSS)"]
    assert (largest.value, largest.status) == (251, "below")
    assert figures["2 replicas"].value == 100
    assert figures["ours ÷ bare clients"].value == 0.8
    alone = {figure.name for figure in _figures("g", ["a", "b"], run, Floor(floor.bare, None))}
    assert figures.keys() - alone == {"bare clients", "bare clients ÷ bare", "ours ÷ bare clients"}


async def test_readers_go_on_only_once_it_is_noted_what_was_read_and_used_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still: list[str] = []
    noted: list[tuple[str, bool]] = []

    def note(what: str, value: Any) -> Callable[..., Any]:
        def look(*_: object, **__: object) -> Any:
            noted.append((what, bool(still)))
            return value

        return look

    def noting(what: str, value: Any) -> Callable[..., Any]:
        look = note(what, value)

        async def ask(*_: object, **__: object) -> Any:
            return look()

        return ask

    @contextlib.asynccontextmanager
    async def stopped(pids: Sequence[int]) -> AsyncIterator[None]:
        still.extend(["stopped"] * len(pids))
        yield
        still.clear()

    now = datetime(2026, 11, 30, tzinfo=UTC)
    document = {
        "pids": {"ai-consumer-1": os.getpid()},
        "metrics_urls": {"helper": ""},
        "helper_url": "http://h",
    }
    stage = Stage(Mock(), document, Mock(), lambda *_: Mock(), Mock())
    monkeypatch.setattr(stage, "until_empty", noting("empty", True))
    monkeypatch.setattr(stage, "processor_s", note("processor", 1.0))
    monkeypatch.setattr(stage, "memory_mb", note("memory", 100.0))
    monkeypatch.setattr(readings, "suspended", stopped)
    monkeypatch.setattr(readings, "consumed", noting("consumed", 5.0))
    monkeypatch.setattr(readings, "datetime", Mock(now=note("began", now)))
    for name, value in (("_fill", 30), ("_held", 30), ("_wait_read", [now + timedelta(seconds=2)] * 30)):
        monkeypatch.setattr(readings, name, noting(name, value))
    found = await readings.crowd(stage, Mock(), 30, replicas=["ai-consumer-1"])
    assert (found.rate, found.read) == (15, 30)
    before = [each for each in noted[: noted.index(("_wait_read", False))] if each[0] != "empty"]
    assert before == [
        *(("_fill", True), ("_held", True), ("consumed", True)),
        *(("processor", True), ("processor", True), ("began", True)),
    ]


@given(st.lists(st.floats(min_value=-10, max_value=30), max_size=200), st.integers(1, 20))
def test_each_whole_second_of_a_span_is_counted_once(moments: list[float], span: int) -> None:
    counts = a_second(moments, span + 0.5)
    assert len(counts) == span
    assert sum(counts) == sum(0 <= at < span for at in moments)


def test_a_steady_stream_has_no_variance_and_a_burst_has() -> None:
    assert variance([5, 5, 5]) == 0
    assert variance([15, 0, 0]) == 50


async def test_a_shut_door_refuses_and_ends_what_came_through() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(2))
        await reader.read()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
    async with asyncio.timeout(20):
        await proxy.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hi")
        assert await reader.readexactly(2) == b"hi"
        await proxy.shut()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.open()
        _, again = await asyncio.open_connection("127.0.0.1", proxy.port)
        again.close()
        writer.close()
        await proxy.shut()
    server.close()


async def test_a_server_that_hangs_up_ends_one_measurement_and_is_told() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def measure(_: Stage) -> list[Figure]:
        async with sender_to(f"http://127.0.0.1:{port}") as sender:
            await sender.post("/tasks", b"a photo", {})
        return []

    report = Report(surroundings={})
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await _one("uploads", measure, Mock(), report, 10)
    assert len(report.failures) == 1
    assert report.failures[0].startswith("uploads: ServerDisconnectedError")
