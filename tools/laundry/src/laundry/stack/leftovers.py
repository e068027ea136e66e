"""Leftover processes of a dead supervisor, found by a mark in their environment."""

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "LAUNDRY_STACK"


def mark(var: Path) -> None:
    """Mark every process that this one starts from now on as belonging to the stack in ``var``."""
    os.environ[MARK] = str(var)


def find(var: Path) -> list[psutil.Process]:
    """Return the living processes of the stack in ``var``, this process and its ancestors left out."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(var):
                found.append(process)
    return found


def sweep(var: Path, seconds: float = 10) -> list[str]:
    """End what a crashed stack left behind; return the commands' names. psutil checks each identity first."""
    ended = []
    deadline = time.monotonic() + seconds
    while (found := find(var)) and time.monotonic() < deadline:
        for process in found:
            with suppress(psutil.Error):
                ended.append(process.name())
                process.kill()
        psutil.wait_procs(found, timeout=1)
    return sorted(set(ended))
