"""The supervisor's watch over its processes."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from laundry.stack.watch import LONGEST_DELAY_SECONDS, Watch
from laundry_servers.process import Process, lives


def sleeper(folder: Path, *arguments: str) -> Process:
    command = arguments or (sys.executable, "-c", "pass")
    return Process("sleeper", command, dict(os.environ), folder / "log", ready=lambda: True)


def test_a_process_that_keeps_ending_is_started_again_ever_later(tmp_path: Path) -> None:
    process = sleeper(tmp_path, "false")
    said: list[str] = []
    watch = Watch([process], changed=lambda: None, say=said.append)
    process.spawn()
    now, starts = 0.0, []
    for _ in range(12):
        assert process.child is not None
        process.child.wait(30)
        watch.look(now)
        due = watch.watched[0].due_at
        assert due is not None
        watch.look(due - 0.01)
        assert not process.running and watch.watched[0].due_at == due, "started before it was due"
        watch.look(due)
        starts.append(due - now)
        now = due
    assert starts[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert max(starts) == pytest.approx(LONGEST_DELAY_SECONDS)
    assert watch.watched[0].restarts == 12
    process.stop()


def test_what_a_killed_wrapper_leaves_is_ended_before_it_is_started_again(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; wait"
    process = Process(
        "wrapper", ["sh", "-c", script], dict(os.environ), tmp_path / "log", lambda: True, tmp_path
    )
    watch = Watch([process], changed=lambda: None, say=lambda _: None)
    process.spawn()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert process.running
        time.sleep(0.01)
    left = psutil.Process(int((tmp_path / "child").read_text()))
    assert process.child is not None
    os.kill(process.child.pid, signal.SIGKILL)
    process.child.wait(30)
    assert lives(left)
    watch.look()
    deadline = time.monotonic() + 10
    while lives(left):
        assert time.monotonic() < deadline
        time.sleep(0.01)
