"""The chart's programs end when their pod is told to go, though Linux shields a container's first process.

Jobs wait here for a server that takes their connection and never answers, and services are still starting.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from laundry_catalogue import SERVICES
from laundry_reading.signing import SigningKey
from laundry_servers import rootfs
from laundry_servers.isolate import bubblewrap_works
from laundry_servers.progress import Quiet

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
WITHIN_S = 60.0
# A program that begins with this stands still at what it imports early.
STANDS_STILL = """
import sys, time

class Slow:
    def find_spec(self, name, *_):
        if name == "pydantic_settings":
            time.sleep(600)

sys.meta_path.insert(0, Slow())
"""
ENDED, INTERRUPTED = 143, 130
AS_FIRST = (
    *("bwrap", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid", "--as-pid-1"),
    *("--die-with-parent", "--", sys.executable, "-m"),
)


@pytest.fixture(autouse=True)
def namespaces() -> None:
    # Which installs bubblewrap where it is missing; whether it works is asked once a process.
    rootfs.ensure(Quiet())
    if not bubblewrap_works():
        pytest.skip("bubblewrap may not make namespaces here")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (("laundry_service.migrate", "helper"), ENDED),
        (("mlops.refit", "a-run", "--alone"), ENDED),
        (("laundry.cli", "check-reading", "--web", "{silent}", "--token", "{file}"), INTERRUPTED),
    ],
    ids=["migration", "training", "laundry command"],
)
def test_the_first_process_of_a_pod_ends_when_it_is_told_to(
    program: tuple[str, ...], status: int, silent: socket.socket, tmp_path: Path
) -> None:
    address = "{}:{}".format(*silent.getsockname())
    file = tmp_path / "token"
    file.write_text("a token")
    arguments = [part.format(silent=f"http://{address}", file=file) for part in program]
    key = SigningKey.generate()
    environment = {
        "LAUNDRY_DATABASE_URL": f"postgresql+asyncpg://somebody:secret@{address}/database",
        "LAUNDRY_S3_ENDPOINT_URL": f"http://{address}",
        "LAUNDRY_S3_ACCESS_KEY": "key",
        "LAUNDRY_S3_SECRET_KEY": "secret",
        "LAUNDRY_S3_BUCKET": "bucket",
        "LAUNDRY_JWKS_URL": f"http://{address}/jwks",
        "LAUNDRY_JWT_ISSUER": f"http://{address}",
        "LAUNDRY_MODEL_DIR": str(tmp_path),
        "LAUNDRY_MODEL_SIGNING_KEY": key.text,
        "LAUNDRY_MODEL_PUBLIC_KEYS": key.public.text,
    }
    with subprocess.Popen(
        [*AS_FIRST, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as outer:
        taken = _connected(silent, outer)
        assert _told_to_end(outer) == status
        taken.close()


@pytest.mark.parametrize("package", [service.package for service in SERVICES])
def test_a_service_ends_while_it_still_starts(package: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STANDS_STILL)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([*AS_FIRST, package], env=environment, stderr=subprocess.PIPE, text=True) as outer:
        end = time.monotonic() + 60
        while not _takes_sigterm(outer) and time.monotonic() < end and outer.poll() is None:
            time.sleep(0.005)
        assert _told_to_end(outer) == ENDED


def _takes_sigterm(outer: "subprocess.Popen[str]") -> bool:
    """Whether the first process of the namespace, once it is Python, has a handler (proc(5), SigCgt)."""
    for first in psutil.Process(outer.pid).children():
        with suppress(psutil.NoSuchProcess, OSError):
            status = Path(f"/proc/{first.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            return first.name() != "bwrap" and bool(caught >> (signal.SIGTERM - 1) & 1)
    return False


def test_the_sandbox_beside_a_training_run_ends_too(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sock"
    command = [*AS_FIRST, "laundry_learning.sandbox.server", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as outer:
        end = time.monotonic() + 60
        while not path.exists() and time.monotonic() < end and outer.poll() is None:
            time.sleep(0.05)
        assert path.exists()
        assert _told_to_end(outer) == ENDED


def _connected(silent: socket.socket, outer: "subprocess.Popen[str]") -> socket.socket:
    try:
        return silent.accept()[0]
    except TimeoutError:
        outer.kill()
        pytest.fail(f"it did not connect: {outer.communicate()[1]}")


def _told_to_end(outer: "subprocess.Popen[str]") -> int:
    [first] = psutil.Process(outer.pid).children()
    first.send_signal(signal.SIGTERM)
    try:
        return outer.wait(WITHIN_S)
    except subprocess.TimeoutExpired:
        outer.kill()
        pytest.fail("it goes on")
