"""How much work and memory something takes, counted and not timed."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TIMES = int(os.environ.get("LAUNDRY_FUZZ", "1"))
"""How many times as many examples as usual are tried."""


class TooMuch(BaseException):
    """More than was allowed: nothing that handles errors of a photo takes this for one."""


@contextmanager
def bounded(*, steps: int, megabytes: float) -> Iterator[None]:
    """Stop what runs inside after so many calls and returns, and fail if it held more of Python's memory."""
    left = steps

    def count(_frame: FrameType, _event: str, _what: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooMuch(f"more than {steps:,} steps")

    before = sys.getprofile()
    tracemalloc.start()
    try:
        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > megabytes * 1e6:
        raise TooMuch(f"{peak / 1e6:.1f} MB at a time")
