"""What a program of the RabbitMQ root file system finds around it."""

import os
import subprocess

import pytest

from laundry_servers import isolate, rootfs
from laundry_servers.progress import Quiet

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
WHO = 'getent hosts "$(uname -n)"'


@pytest.mark.parametrize("way", ["bubblewrap", "chroot"])
def test_its_machine_is_known_to_it_without_a_name_server(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # First, as it installs bubblewrap where it is missing, and whether it works is asked once a process.
    root = rootfs.ensure(Quiet())
    if way == "bubblewrap" and not isolate.bubblewrap_works():
        pytest.skip("bubblewrap may not make namespaces here")
    if way == "chroot" and os.geteuid() != 0:
        pytest.skip("chroot needs root")
    monkeypatch.setattr(isolate, "bubblewrap_works", lambda: way == "bubblewrap")
    command = isolate.command(root, ["/bin/sh", "-c", WHO], environment={"PATH": "/usr/bin"}, folders=[])

    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert said.stdout.split() == ["127.0.0.1", isolate.HOST], said.stderr
