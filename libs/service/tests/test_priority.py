"""Background work gives way, by its own niceness and by its session's."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from laundry_service.background.priority import give_way

GROUP = re.compile(r"nice (-?\d+)$")
WAITING = [sys.executable, "-c", "input()"]


def niceness_of_session(pid: int) -> int | None:
    try:
        told = Path(f"/proc/{pid}/autogroup").read_text()
    except OSError:
        pytest.skip("this kernel groups no sessions")
    if not told:
        return None  # the session that a machine starts with is in no group
    found = GROUP.search(told)
    assert found, told
    return int(found[1])


@pytest.fixture(params=[True, False], ids=["own session", "session of another"])
def child(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    process = subprocess.Popen(WAITING, stdin=subprocess.PIPE, start_new_session=request.param)
    yield process.pid, request.param
    process.kill()
    process.wait()


def test_a_process_gives_way_and_its_session_only_if_it_leads_it(child: tuple[int, bool]) -> None:
    pid, leads = child
    before = niceness_of_session(pid)
    give_way(19, pid)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert niceness_of_session(pid) == (19 if leads else before)


def test_a_process_that_gives_way_more_already_goes_on_doing_so(child: tuple[int, bool]) -> None:
    pid, _ = child
    os.setpriority(os.PRIO_PROCESS, pid, 15)
    give_way(10, pid)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 15


def test_a_process_that_has_ended_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    give_way(19, process.pid)
