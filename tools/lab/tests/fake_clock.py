"""A clock that moves only when somebody sleeps by it: waits of minutes are over at once."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from laundry_lab import patience


class FakeClock:
    """Stands in for ``time`` and ``asyncio`` in modules that wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        self.now = 1000.0
        self.passes: Callable[[], None] = lambda: None
        """Called after each sleep."""
        time = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now)
        monkeypatch.setattr(patience, "time", time)
        for module in modules:
            monkeypatch.setattr(module, "time", time)
            monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=self.sleep, Event=asyncio.Event))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.passes()
