"""The process that starts servers may be killed at any moment; nothing may stay behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from laundry_servers import isolate
from laundry_servers.process import lives

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

# Starts every native server in a process of its own, says which ones, and waits to be killed.
STARTER = """
import json, os, sys
from pathlib import Path
from laundry_servers.progress import Quiet
from laundry_servers import isolate, rootfs
from laundry_servers.fcm import Fcm
from laundry_servers.objectstore import ObjectStore
from laundry_servers.postgres import Postgres
from laundry_servers.rabbitmq import RabbitMQ

folder = Path(sys.argv[1])
if sys.argv[2] == "chroot":
    isolate.bubblewrap_works = lambda: False
servers = [
    RabbitMQ(rootfs.ensure(Quiet()), folder / "rabbitmq"),
    Postgres(folder / "postgres", durable=False),
    ObjectStore(folder / "s3"),
    Fcm(folder / "fcm", identity_folder=folder / "identity"),
]
for server in servers:
    server.start()
started = [[p.name, p.pid, p.wrapper_pid] for server in servers for p in server.processes]
print(json.dumps(started), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["bubblewrap", "chroot"])
def test_killing_the_parent_ends_every_server(way: str, tmp_path: Path) -> None:
    if way == "bubblewrap" and not isolate.bubblewrap_works():
        pytest.skip("bubblewrap may not make namespaces here")
    if way == "chroot" and os.geteuid() != 0:
        pytest.skip("chroot needs root")
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert starter.stdout is not None
        started = json.loads(starter.stdout.readline())
        assert [name for name, *_ in started] == ["epmd", "rabbitmq-1", "postgres", "s3", "fcm"]
        family = psutil.Process(starter.pid).children(recursive=True)
        assert {pid for _, *pids in started for pid in pids} <= {process.pid for process in family}
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while left := [process for process in family if lives(process)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
