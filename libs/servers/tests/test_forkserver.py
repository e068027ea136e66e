"""Programs forked from one process behave as if each had been started by itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from laundry_servers import orphans
from laundry_servers.forking import Forked
from laundry_servers.forkserver import ForkServer, fork_server
from laundry_servers.process import Process, base_environment, lives

TELLS = """
import json, os, sys, time
print(json.dumps({
    "arguments": sys.argv[1:], "environment": dict(os.environ), "session": os.getsid(0),
    "parent": os.getppid(), "input": sys.stdin.read(), "library": "library" in sys.modules,
}), flush=True)
time.sleep(600)
"""
LIBRARY = """
import os, pathlib
pathlib.Path(__file__).with_name(f"imported-by-{os.getpid()}").touch()
"""
STARTER = """
import sys, time
from pathlib import Path
from laundry_servers import orphans
from laundry_servers.forkserver import fork_server
from laundry_servers.process import Process, base_environment
folder = Path(sys.argv[1])
orphans.adopt()
server = fork_server(["json"], {**base_environment(), "PYTHONPATH": str(folder)}, folder / "server.log")
server.spawn()
command = [sys.executable, "-m", "sleeps"]
process = Process("sleeps", command, {"PYTHONPATH": str(folder)}, folder / "log", lambda: True)
process.forked_by = server
process.spawn()
print(server.pid, process.pid, flush=True)
time.sleep(600)
"""


def wait_for(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Modules that can be run."""
    (tmp_path / "tells.py").write_text(TELLS)
    (tmp_path / "library.py").write_text(LIBRARY)
    (tmp_path / "sleeps.py").write_text("import time\nprint('slept', flush=True)\ntime.sleep(600)")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[ForkServer]:
    """A fork server that has imported ``library``; this process adopts what it forks."""
    orphans.adopt()
    made = fork_server(["library"], {**base_environment(), "PYTHONPATH": str(folder)}, folder / "server.log")
    made.spawn()
    try:
        yield made
    finally:
        made.stop()
        orphans.adopt(False)


def program(server: ForkServer, folder: Path, module: str, *arguments: str, **environment: str) -> Process:
    """A program that the fork server starts."""
    return Process(
        name=module,
        command=[sys.executable, "-m", module, *arguments],
        environment={**base_environment(), "PYTHONPATH": str(folder), **environment},
        log_file=folder / f"{module}.log",
        ready=lambda: True,
        forked_by=server,
    )


def was_forked(process: Process) -> bool:
    return isinstance(process.child, Forked)


def test_a_forked_program_is_as_one_that_was_started_by_itself(server: ForkServer, folder: Path) -> None:
    process = program(server, folder, "tells", "--loud", "두 번", TOWELS="12", EMPTY="")
    process.spawn()
    assert was_forked(process)
    wait_for(lambda: process.log_file.read_text().endswith("\n"))
    told = json.loads(process.log_file.read_text())
    assert process.pid is not None
    looked = psutil.Process(process.pid)
    try:
        assert told["arguments"] == ["--loud", "두 번"]
        assert told["environment"] == process.environment == looked.environ()
        assert looked.cmdline() == [*process.command[:-1], "두", "번"]
        assert (told["session"], told["parent"], told["input"]) == (process.pid, os.getpid(), "")
        # Nobody's pipe or socket stays open in it.
        assert looked.num_fds() == 3
    finally:
        process.stop()
    assert process.exit_status == -signal.SIGTERM
    # Imported by the fork server alone.
    assert told["library"]
    assert [file.name for file in folder.glob("imported-by-*")] == [f"imported-by-{server.pid}"]


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("print('clean')", 0, "clean\n"),
        ("raise SystemExit(3)", 3, ""),
        ("raise ValueError('no towels left')", 1, "ValueError: no towels left\n"),
        ("import atexit; atexit.register(print, 'last')", 0, "last\n"),
    ],
)
def test_a_forked_program_ends_like_any_other(
    code: str, status: int, said: str, server: ForkServer, folder: Path
) -> None:
    (folder / "short.py").write_text(code)
    process = program(server, folder, "short")
    process.spawn()
    assert was_forked(process)
    wait_for(lambda: not process.running)
    assert process.exit_status == status
    assert process.log_file.read_text().endswith(said)


def test_a_program_that_starts_again_runs_its_code_as_it_is_now(server: ForkServer, folder: Path) -> None:
    for text in ("first", "second, and longer"):
        (folder / "changes.py").write_text(f"print({text!r})")
        process = program(server, folder, "changes")
        process.spawn()
        assert was_forked(process)
        wait_for(lambda process=process: not process.running)  # type: ignore[misc]
    assert process.log_file.read_text().splitlines() == ["first", "second, and longer"]


def test_without_the_fork_server_programs_go_on_and_start_the_usual_way(
    server: ForkServer, folder: Path
) -> None:
    first, second = program(server, folder, "sleeps"), program(server, folder, "sleeps")
    first.spawn()
    server.kill()
    wait_for(lambda: not server.running)
    try:
        second.spawn()
        assert not was_forked(second)
        wait_for(lambda: second.log_file.read_text().endswith("slept\n"))
        assert "started by itself: fork-server" in second.log_file.read_text()
        assert first.running
        assert psutil.Process(second.pid).ppid() == os.getpid()
        # And once it is there again, it forks as before.
        second.stop()
        server.spawn()
        second.spawn()
        assert was_forked(second)
    finally:
        first.stop()
        second.stop()


def test_killing_who_asked_ends_what_was_forked(folder: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    family = [psutil.Process(int(pid)) for pid in starter.stdout.readline().split()]
    wait_for((folder / "log").read_text)
    assert [lives(process) for process in family] == [True, True]
    starter.kill()
    starter.communicate(timeout=10)
    wait_for(lambda: not any(lives(process) for process in family))


def test_what_is_no_setting_of_its_own_counts_from_the_programs_first_moment(
    server: ForkServer, folder: Path
) -> None:
    process = program(server, folder, "sleeps")
    for name, forked in (("LAUNDRY_TOWELS", True), ("LD_PRELOAD", False), ("OTEL_PROPAGATORS", False)):
        process.changed_environment = lambda name=name: {name: ""}  # type: ignore[misc]
        process.spawn()
        assert was_forked(process) == forked
        process.stop()


def test_libraries_that_have_changed_are_imported_again(folder: Path) -> None:
    # Not those of this environment, which other tests' stacks are forked from.
    libraries = folder / "libraries"
    libraries.mkdir()
    (folder / "elsewhere.py").write_text(
        f"import sysconfig\nsysconfig.get_path = lambda _: {str(libraries)!r}"
    )
    orphans.adopt()
    given = {**base_environment(), "PYTHONPATH": str(folder)}
    server = fork_server(["elsewhere"], given, folder / "server.log")
    server.spawn()
    process = program(server, folder, "sleeps")
    try:
        process.spawn()
        assert was_forked(process)
        process.stop()
        (libraries / "new").mkdir()
        process.spawn()
        assert not was_forked(process)
        process.stop()
        wait_for(lambda: not server.running)
        server.spawn()
        process.spawn()
        assert was_forked(process)
        process.stop()
    finally:
        server.stop()
        orphans.adopt(False)


def test_texts_of_any_encoding_and_length_are_taken(server: ForkServer, folder: Path) -> None:
    long = {f"TOWELS_{number}": "x" * 1000 for number in range(60)}
    process = program(server, folder, "tells", "x" * 5000, PLACE="caf\udce9", **long)
    process.spawn()
    assert was_forked(process)
    wait_for(lambda: process.log_file.read_text().endswith("\n"))
    told = json.loads(process.log_file.read_text())
    process.stop()
    assert (told["environment"], told["arguments"]) == (process.environment, ["x" * 5000])


def test_one_who_does_not_adopt_starts_its_programs_the_usual_way(server: ForkServer, folder: Path) -> None:
    orphans.adopt(False)
    process = program(server, folder, "sleeps")
    process.spawn()
    try:
        assert not was_forked(process)
        wait_for(lambda: process.log_file.read_text().endswith("slept\n"))
        # The one that was forked has ended.
        assert process.log_file.read_text().count("slept") == 1
    finally:
        process.stop()
