"""Free ports, and the claims on them."""

import subprocess
import sys

from laundry_servers import ports


def test_ports_are_free_distinct_and_never_given_twice() -> None:
    first, second = ports.free_ports(40), ports.free_ports(40)
    assert len({*first, *second}) == 80
    assert not any(ports.is_open(port) for port in first)


def test_a_port_that_another_process_was_given_is_not_given_again_before_it_is_bound() -> None:
    code = "from laundry_servers.ports import free_port; print(free_port(), flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert not ports._claim(port)
    finally:
        other.kill()
        other.communicate(timeout=20)
    assert ports._claim(port)
