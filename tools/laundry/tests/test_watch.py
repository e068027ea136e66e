"""The supervisor's watch over its processes."""

import errno
import io
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from laundry.display import JsonLines
from laundry.paths import StackPaths
from laundry.stack import logs
from laundry.stack.launch import Launch, Options
from laundry.stack.supervisor import Stopping, Supervisor
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


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_neither_the_watch_nor_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, steady = sleeper(tmp_path, "false"), sleeper(tmp_path, "sleep", "600")
    said: list[str] = []
    full = True

    def write(*_: object) -> None:
        if full:
            raise FULL

    def say(text: str) -> None:
        said.append(text)
        write()

    watch = Watch([ending, steady], changed=write, say=say)
    for process in (ending, steady):
        process.spawn()
    assert ending.child is not None
    ending.child.wait(30)
    watch.look(0.0)
    with monkeypatch.context() as no_log:
        no_log.setattr(Process, "spawn", write)
        for now in (1.0, 1.1, 2.0):
            watch.look(now)
    assert (watch.watched[0].restarts, ending.running, steady.running) == (0, False, True)
    assert [("ended" in text, "cannot be started" in text, "written" in text) for text in said] == [
        (True, False, False),
        (False, False, True),
        (False, True, False),
        (False, True, False),
    ]
    full = False
    watch.look(10.0)
    assert watch.watched[0].restarts == 1
    watch.tell_change()
    assert watch.unwritten == ""
    for process in (ending, steady):
        process.stop()


def test_notes_that_could_not_be_written_are_written_as_soon_as_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.StringIO()
    stack = Supervisor(StackPaths(tmp_path), Options(), JsonLines(lines))
    stack.launch.processes.append(sleeper(tmp_path, "sleep", "600"))
    monkeypatch.setattr(Launch, "document", lambda _: {})
    tried: list[Path] = []
    looks = iter(range(20))

    def write(path: Path, content: object) -> None:
        tried.append(path)
        if len(tried) <= 3:
            raise FULL

    def sleep(_: float) -> None:
        if next(looks, None) is None:
            raise Stopping

    monkeypatch.setattr("laundry.stack.supervisor.write_json", write)
    monkeypatch.setattr("laundry.stack.state.write_json", write)
    stack.launch.processes[0].spawn()
    try:
        with monkeypatch.context() as at_once, pytest.raises(Stopping):
            at_once.setattr("laundry.stack.supervisor.time.sleep", sleep)
            stack._keep_running()
    finally:
        stack.launch.processes[0].stop()
    paths = StackPaths(tmp_path)
    assert tried == [paths.stack_file] * 4 + [paths.processes_file]
    assert lines.getvalue().count("No space left") == 1


def test_a_long_log_is_begun_anew_and_the_one_before_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 4)
    for name, text in (
        ("helper.log", "12345"),
        ("helper.log.1", "before"),
        ("web.log", "1234"),
        ("s.log", "12345"),
    ):
        (tmp_path / name).write_text(text)
    logs.set_aside(tmp_path, besides="s.log")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "helper.log.1": "12345",
        "web.log": "1234",
        "s.log": "12345",
    }
    logs.set_aside(tmp_path / "none yet", besides="s.log")
