"""That nothing is left unhandled counts only where the history says so."""

import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from laundry_lab.faults import bindings
from laundry_lab.faults.bindings import NOT_ENDED, QUEUE, laundry, lost, unhandled
from laundry_lab.faults.world import World

MISSED = json.dumps({"id": "e1", "queue": QUEUE}) + "\n"
OTHERS = json.dumps({"id": "e2", "queue": "task.confirmed"}) + "\n"


def ended(status: int, told: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.CompletedProcess([], status, told, "")


@pytest.mark.parametrize(
    ("status", "told", "found"),
    [
        (0, "", set()),
        (1, MISSED + OTHERS, {"e1"}),
        (1, OTHERS, set()),
        (1, "", None),
        (2, "", None),
        (0, MISSED, None),
        (-9, MISSED, None),
        (NOT_ENDED, "", None),
        (1, MISSED + '{"id": "e', None),
        (1, "broken\n", None),
        (1, "[]\n", None),
    ],
)
async def test_the_history_tells_what_was_missed_or_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, status: int, told: str, found: set[str] | None
) -> None:
    monkeypatch.setattr(bindings, "laundry", AsyncMock(return_value=ended(status, told)))
    assert await unhandled(Mock()) == found


async def test_a_command_that_does_not_end_has_a_status_that_is_no_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 90)

    monkeypatch.setattr(subprocess, "run", run)
    assert (await laundry(Mock(), "topology", "verify")).returncode == NOT_ENDED


class Broken:
    """A system with a queue that somebody unbinds, whose history answers as it is told to."""

    def __init__(self, *history: "subprocess.CompletedProcess[str]") -> None:
        self.history = iter(history)
        self.load = Mock()
        self.accepts = AsyncMock(return_value=True)
        self.metric = AsyncMock(return_value=1.0)

    async def laundry(self, _: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
        if arguments[0] == "history":
            return next(self.history)
        return ended(1, QUEUE) if arguments == ("topology", "verify") else ended(0)

    async def eventually(self, condition: Callable[[], Awaitable[bool]], _: float, **__: Any) -> bool:
        return await condition()


@asynccontextmanager
async def no_channel(_: World) -> AsyncIterator[Any]:
    yield SimpleNamespace(get_queue=AsyncMock(return_value=AsyncMock()))


@pytest.mark.parametrize(
    ("history", "holds"),
    [
        ((ended(1, MISSED), ended(0)), True),
        ((ended(1, MISSED), ended(1)), False),
        ((ended(1, MISSED), ended(1, MISSED)), False),
        ((ended(1), ended(0)), False),
    ],
)
async def test_a_history_that_cannot_be_read_is_no_evidence(
    monkeypatch: pytest.MonkeyPatch, history: "tuple[subprocess.CompletedProcess[str], ...]", holds: bool
) -> None:
    world = Broken(*history)
    monkeypatch.setattr(bindings, "laundry", world.laundry)
    monkeypatch.setattr(bindings, "opened_channel", no_channel)
    monkeypatch.setattr(bindings, "RECENT", timedelta())
    assert all(each.holds for each in await lost(cast(World, world))) is holds
