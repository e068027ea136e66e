"""Stops a running stack by its supervisor, which stops everything else."""

import signal
import time
from contextlib import suppress

import psutil

from laundry_servers.process import lives

STOP_SECONDS = 90.0


def stop(supervisor: psutil.Process) -> None:
    """Stop a stack's supervisor, which stops everything else; one that does not end is killed."""
    with suppress(psutil.NoSuchProcess):
        supervisor.send_signal(signal.SIGTERM)
        if not ended(supervisor, STOP_SECONDS):
            # Its children die with it; the caller cleans up the rest.
            supervisor.kill()
            ended(supervisor, 5)


def ended(process: psutil.Process, seconds: float) -> bool:
    """Wait for a process that is not our child; a zombie counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not lives(process):
            return True
        time.sleep(0.05)
    return False
