"""A child process is started, watched and stopped with everything that it started."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from laundry_servers.errors import LaundryError
from laundry_servers.process import Process, lives


def sleeper(folder: Path, *arguments: str) -> Process:
    command = arguments or (sys.executable, "-c", "pass")
    return Process("sleeper", command, dict(os.environ), folder / "log", ready=lambda: True)


def test_a_process_that_ended_tells_why_it_is_not_ready(tmp_path: Path) -> None:
    process = sleeper(tmp_path, sys.executable, "-c", "raise SystemExit('no towels left')")
    process.ready = lambda: False
    process.spawn()
    with pytest.raises(LaundryError, match=r"(?s)status 1.*no towels left"):
        process.wait_ready(deadline=float("inf"))


def test_stopping_takes_the_whole_process_group(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; trap '' TERM; wait"
    process = Process(
        "stubborn", ["sh", "-c", script], dict(os.environ), tmp_path / "log", lambda: True, tmp_path
    )
    process.stop_seconds = 0.5
    process.spawn()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert process.running
    child = psutil.Process(int((tmp_path / "child").read_text()))
    process.stop()
    assert not process.running
    deadline = time.monotonic() + 10
    while lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
