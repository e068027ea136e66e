"""What the benchmark says of its measurements, and what it measures with."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from laundry.bench.figures import Figure, Report, percentile, show
from laundry.bench.pictures import BYTES, Pictures, multipart
from laundry.bench.readings import _stopped
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
    ("value", "at_most", "verdict"),
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
def test_a_verdict_is_honest(value: float, at_most: bool, verdict: str) -> None:
    assert Figure("g", "n", value, "ms", 100, at_most=at_most).verdict == verdict


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
    console = Console(file=io.StringIO(), width=120)
    show(report, console)
    told = console.file.getvalue()
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


async def test_stopped_processes_go_on_whatever_happens() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(20)
    try:
        process = psutil.Process(child.pid)
        with pytest.raises(RuntimeError, match="in between"):
            async with _stopped([gone.pid, child.pid]):
                await eventually(lambda: process.status() == psutil.STATUS_STOPPED, what="the stop")
                raise RuntimeError("in between")
        await eventually(lambda: process.status() != psutil.STATUS_STOPPED, what="the going on")
    finally:
        child.kill()
        child.wait()
