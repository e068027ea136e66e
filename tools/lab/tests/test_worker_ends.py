"""A worker process that ends before its time is noticed at once, and told with how it ended."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from laundry_lab.bench.stage import NotMeasured
from laundry_lab.bench.workers import Worker, worker, working
from laundry_lab.load.driving import _until_done

SOON_S = 15
"""Long enough to start Python on a busy machine, and half of what a worker is listened to at its start."""


async def started(program: str) -> Worker:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    return Worker(process, "the worker")


SAYS = "import json, sys; print(json.dumps({'said': 'ready'}), flush=True);"


async def test_one_that_was_killed_is_not_waited_for() -> None:
    found = await started(SAYS + "sys.stdin.read()")
    await found.hear("ready")
    os.kill(found.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(NotMeasured, match=r"^the worker was killed \(SIGKILL\)$"):
        await found.hear("seen", within_s=60)
    assert time.monotonic() - began < SOON_S
    await found.kill()


async def test_what_it_said_before_its_end_is_heard() -> None:
    found = await started(SAYS + "print(json.dumps({'said': 'seen', 'number': 3})); sys.exit(4)")
    assert (await found.hear("seen", within_s=60))["number"] == 3
    with pytest.raises(NotMeasured, match="ended by itself, with exit status 4"):
        await found.hear("more", within_s=60)
    await found.kill()


@pytest.mark.timeout(60)
async def test_children_that_have_its_output_open_hide_no_end_and_end_too() -> None:
    child = "import time; time.sleep(600)"
    program = f"import subprocess, os, signal; p = subprocess.Popen([sys.executable, '-c', {child!r}]);"
    told = (
        "print(json.dumps({'said': 'child', 'pid': p.pid}), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    found = await started(SAYS + program + told)
    began = time.monotonic()
    pid = (await found.hear("child", within_s=60))["pid"]
    with pytest.raises(NotMeasured, match="SIGKILL"):
        await found.hear("seen", within_s=60)
    await found.kill()
    assert time.monotonic() - began < SOON_S
    while _lives(pid):
        await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_one_that_fails_at_its_start_says_why_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(NotMeasured, match=r"no such role.*exit status 1: KeyError: 'no such role'"):
        async with worker("no such role"):
            pass
    assert time.monotonic() - began < SOON_S
    assert "Traceback" in capsys.readouterr().err


async def test_modules_of_the_folder_that_it_is_started_in_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('nor this one')\n")
    monkeypatch.chdir(tmp_path)
    async with worker("load", straight=False, due=[]) as found:
        assert found.running
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    async with working("laundry_lab.bench.roles", {"role": "load", "straight": False, "due": []}) as again:
        assert again.running


ORDER = {"due": [20.0], "grace_s": 30.0}


@pytest.mark.parametrize("dies", ["generator", "consumer"])
async def test_a_run_ends_when_one_of_its_processes_does(dies: str) -> None:
    there = {name: await started(SAYS + "sys.stdin.read()") for name in ("generator", "consumer")}
    for each in there.values():
        await each.hear("ready")
    os.kill(there[dies].pid, signal.SIGTERM)
    began = time.monotonic()
    moved: list[Any] = []
    with pytest.raises(NotMeasured, match="SIGTERM"):
        await _until_done(there["generator"], ORDER, asyncio.Event(), moved.append, [there["consumer"]])
    assert time.monotonic() - began < SOON_S
    for each in there.values():
        await each.kill()
