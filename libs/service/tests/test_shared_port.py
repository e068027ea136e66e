"""Processes that share a port: the kernel divides the connections, and each tells its own health."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from laundry_servers.ports import free_ports

PROGRAM = """
import asyncio, os
from fastapi import FastAPI
from laundry_service.http.settings import HttpSettings
from laundry_service.server import serve

app = FastAPI()
app.state.stopping = asyncio.Event()

@app.get("/")
@app.get("/readyz")
async def who() -> int:
    return os.getpid()

serve(app, HttpSettings())
"""
START_S = 90.0
ENOUGH = 60
"""Connections: that one of two processes gets none of them happens once in 10^17 times."""


def start(port: int, metrics_port: int, *, shared: bool = True) -> subprocess.Popen[bytes]:
    given = {"PORT": str(port), "METRICS_PORT": str(metrics_port), "SHARE_PORT": str(shared)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **{f"LAUNDRY_{name}": value for name, value in given.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def health(metrics_port: int) -> int | None:
    """Return what answers as this process's health, if anything does."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{metrics_port}/readyz", timeout=5)
    except httpx.TransportError:
        return None
    return int(answer.text) if answer.is_success else None


def wait_ready(process: subprocess.Popen[bytes], metrics_port: int) -> None:
    until = time.monotonic() + START_S
    while health(metrics_port) != process.pid:
        assert process.poll() is None and time.monotonic() < until, "it did not start"
        time.sleep(0.05)


def who_answers(port: int) -> set[int]:
    """Ask over new connections; returns the ids of who answered."""
    return {int(httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text) for _ in range(ENOUGH)}


@pytest.fixture
def ports() -> list[int]:
    """One to share, and one for the metrics of each of two."""
    return free_ports(3)


@pytest.fixture
def two(ports: list[int]) -> Iterator[list[subprocess.Popen[bytes]]]:
    found = [start(ports[0], each) for each in ports[1:]]
    try:
        for process, metrics_port in zip(found, ports[1:], strict=True):
            wait_ready(process, metrics_port)
        yield found
    finally:
        for process in found:
            process.kill()
            process.communicate()


def test_both_answer_and_one_alone_once_the_other_is_gone(
    ports: list[int], two: list[subprocess.Popen[bytes]]
) -> None:
    first, second = two
    assert who_answers(ports[0]) == {first.pid, second.pid}
    first.kill()
    first.wait()
    assert health(ports[1]) is None
    assert who_answers(ports[0]) == {second.pid}
    # Its successor takes its part again.
    successor = start(ports[0], ports[1])
    two.append(successor)
    wait_ready(successor, ports[1])
    assert who_answers(ports[0]) == {successor.pid, second.pid}


def test_one_that_does_not_share_gets_no_part_of_a_port_that_others_have(
    ports: list[int], two: list[subprocess.Popen[bytes]]
) -> None:
    stranger = start(ports[0], free_ports(1)[0], shared=False)
    output, _ = stranger.communicate(timeout=START_S)
    assert stranger.returncode != 0
    assert b"address already in use" in output
    assert who_answers(ports[0]) == {each.pid for each in two}


def test_a_port_that_somebody_does_not_share_is_named(ports: list[int]) -> None:
    alone = start(ports[0], ports[1], shared=False)
    try:
        wait_ready(alone, ports[1])
        late = start(ports[0], ports[2])
        output, _ = late.communicate(timeout=START_S)
        assert late.returncode == 3
        assert f"port {ports[0]} cannot be shared: Address already in use".encode() in output
        assert who_answers(ports[0]) == {alone.pid}
    finally:
        alone.kill()
        alone.communicate()
