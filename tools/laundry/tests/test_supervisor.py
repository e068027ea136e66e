"""The supervisor keeps a real stack running and leaves nothing behind, however it ends."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from laundry.stack.logs import MOST_BYTES
from laundry_servers.process import lives

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]


SAMPLE = Path(__file__).parent / "sample"


def wait_for(check: Callable[[], object], seconds: float = 60) -> None:
    """Wait until ``check`` is true, or fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


class Supervised:
    """A supervisor of stand-in services in a process of its own."""

    def __init__(self, var: Path, *arguments: str) -> None:
        self.var = var
        self.child = subprocess.Popen(
            [sys.executable, "supervise.py", str(var), *arguments],
            cwd=SAMPLE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        assert self.child.stdout is not None and self.child.stderr is not None
        assert self.child.stdout.readline() == "ready\n", self.child.stderr.read()

    def laundry(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "laundry.cli", *arguments]
        environment = {**os.environ, "LAUNDRY_VAR_DIR": str(self.var), "COLUMNS": "200"}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False
        )


@pytest.fixture
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one test's stack, whose parents are private as in a careful user's home."""
    return tmp_path_factory.mktemp("checkout") / "var"


@pytest.fixture
def supervised(var: Path) -> Iterator[Supervised]:
    """A ready stack of stand-ins, not the first in its folder."""
    (var / "log").mkdir(parents=True)
    with (var / "log" / "mlops.log").open("wb") as long:
        long.truncate(MOST_BYTES + 1)
    running = Supervised(var)
    try:
        running.wait_ready()
        yield running
    finally:
        if running.child.poll() is None:
            running.child.terminate()
        running.child.communicate(timeout=60)


def of_stack(var: Path) -> list[psutil.Process]:
    """Every living process that belongs to the stack in ``var``, children included."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("LAUNDRY_STACK") == str(
                var
            ):
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    return [each for each in found.values() if lives(each)]


@contextmanager
def halted(pid: int) -> Iterator[None]:
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def stack(running: Supervised) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((running.var / "stack.json").read_text())
    return document


def test_a_stack_from_start_to_end(supervised: Supervised) -> None:
    old, new = (supervised.var / "log" / name for name in ("mlops.log.1", "mlops.log"))
    assert old.stat().st_size == MOST_BYTES + 1 and new.stat().st_size < MOST_BYTES
    document = stack(supervised)
    names = {"helper", "mlops", "fork-server", "fcm", "s3", "postgres", "rabbitmq-1", "epmd"}
    assert set(document["pids"]) == names
    assert psutil.Process(document["pids"]["rabbitmq-1"]).name() == "beam.smp"
    for name in ("stack.json", "secrets.json", "identity/es256.pem"):
        assert stat.S_IMODE((supervised.var / name).stat().st_mode) == 0o600, name

    for name in ("helper", "mlops", "fcm"):
        assert "started by itself" not in (supervised.var / "log" / f"{name}.log").read_text()

    # One look asks each process once, and on a busy machine an answer may be late.
    wait_for(lambda: supervised.laundry("status", "--json").returncode == 0)
    status = json.loads(supervised.laundry("status", "--json").stdout)
    assert {process["name"] for process in status["processes"]} == names | {"supervisor"}
    assert all(process["pss_bytes"] > 0 for process in status["processes"])

    again = Supervised(supervised.var)
    _, said = again.child.communicate(timeout=60)
    assert again.child.returncode != 0
    assert "already running" in said and "laundry down" in said

    # A service that dies is started again under a new id, and answers at the same address.
    old = document["pids"]["helper"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: stack(supervised)["pids"].get("helper", old) != old)
    wait_for(lambda: _answers(document["helper_url"]))

    # So does the broker's node: what is reported is the server's own id, not its wrapper's.
    old = document["pids"]["rabbitmq-1"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: _name(stack(supervised)["pids"].get("rabbitmq-1"), besides=old) == "beam.smp")
    wait_for(lambda: _answers(document["helper_url"]))

    status = json.loads(supervised.laundry("status", "--json").stdout)
    restarts = {process["name"]: process["restarts"] for process in status["processes"]}
    assert restarts == {**dict.fromkeys([*names, "supervisor"], 0), "helper": 1, "rabbitmq-1": 1}

    belonged = of_stack(supervised.var)
    assert len(belonged) > len(names)
    done = supervised.laundry("down")
    assert done.returncode == 0, done.stderr
    assert supervised.child.wait(30) == 0
    assert not [process for process in belonged if lives(process)]
    assert not (supervised.var / "stack.json").exists()
    assert supervised.laundry("status").returncode == 1


def test_a_killed_supervisor_leaves_only_what_down_removes_and_the_data(supervised: Supervised) -> None:
    before, belonged = stack(supervised), of_stack(supervised.var)
    supervised.child.kill()
    supervised.child.wait(10)
    careless = {process.pid for process in belonged if _name(process.pid) == "sleep"}
    assert careless
    # The kernel takes every child with the supervisor; only the careless service's own child can stay.
    wait_for(lambda: {process.pid for process in of_stack(supervised.var)} <= careless)
    done = supervised.laundry("down")
    assert done.returncode == 0, done.stderr
    assert of_stack(supervised.var) == []
    assert not (supervised.var / "stack.json").exists()

    again = Supervised(supervised.var)
    try:
        again.wait_ready()
        after = stack(again)
        assert after["s3"]["secret_key"] == before["s3"]["secret_key"]
        login = before["postgres_urls"]["helper"].split("@")[0]
        assert after["postgres_urls"]["helper"].split("@")[0] == login
    finally:
        again.child.send_signal(signal.SIGINT)
        again.child.communicate(timeout=60)
    assert again.child.returncode == 0
    assert of_stack(supervised.var) == []


def test_ctrl_c_during_the_first_start_leaves_nothing_that_hinders_the_next(var: Path) -> None:
    starting = Supervised(var)
    wait_for(lambda: "beam.smp" in [_name(process.pid) for process in of_stack(var)])
    # It goes no further while it is looked at.
    with halted(starting.child.pid):
        status = json.loads(starting.laundry("status", "--json").stdout)
    assert status["running"] and not status["ready"] and not status["healthy"]
    starting.child.send_signal(signal.SIGINT)
    starting.child.communicate(timeout=60)
    assert of_stack(var) == []
    again = Supervised(var)
    try:
        again.wait_ready()
    finally:
        again.child.send_signal(signal.SIGTERM)
        again.child.communicate(timeout=60)
    assert of_stack(var) == []


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _name(pid: int | None, *, besides: int | None = None) -> str:
    try:
        return psutil.Process(pid).name() if pid and pid != besides else ""
    except psutil.NoSuchProcess:
        return ""
