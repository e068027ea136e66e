"""Free TCP ports on the loopback address."""

import random
import socket
from pathlib import Path

LOWEST = 15000
_claims: dict[int, socket.socket] = {}


def free_ports(count: int) -> list[int]:
    """Return distinct free ports below the kernel's ephemeral range, never one that was given already.

    The kernel could hand a port of that range to an outgoing connection before the server binds it, which
    takes a broker seconds. Nor is it given to another stack that is starting at the same time.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(LOWEST, ephemeral) if ephemeral > LOWEST + 5000 else range(LOWEST, 65000))
    random.SystemRandom().shuffle(candidates)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if _claim(port):
            found.append(port)
    return found


def free_port(preferred: int | None = None) -> int:
    """Return one free port: the preferred one, unless somebody has it."""
    if preferred is not None and _claim(preferred):
        return preferred
    return free_ports(1)[0]


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((host, port)) == 0


def _claim(port: int) -> bool:
    """Take a free port for as long as this process lives; false if somebody has it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        # An abstract Unix socket: scoped to the network namespace like ports, and no file to clean up.
        claim.bind(f"\0laundry-port-{port}")
    except OSError:
        claim.close()
        return False
    if not _is_free(port):
        claim.close()
        return False
    _claims[port] = claim
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
