"""Adopts orphaned grandchildren, so that none lingers as a zombie."""

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

PR_SET_CHILD_SUBREAPER = 36


def adopt(yes: bool = True) -> None:
    """Become the parent of every orphaned descendant from now on, or leave them to init again."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def reap(own: Iterable[int | None]) -> None:
    """Collect orphans that have ended; ``own`` are children that somebody else waits for."""
    waited_for = set(own)
    for child in psutil.Process().children():
        if child.pid in waited_for:
            continue
        with suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
