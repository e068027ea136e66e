"""What merely waits is not called lost, wherever something is counted after a load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from laundry.stack import state
from laundry_lab.bench import alerts, bursts, levelling
from laundry_lab.bench.levelling import GRACE_S, Uploads
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.verify import backlog, previews
from laundry_lab.verify.outcomes import Verification

from .fake_clock import FakeClock

AT = datetime(2026, 11, 30, tzinfo=UTC)


def stage_of(**document: Any) -> Stage:
    return Stage(Mock(), document, Mock(), lambda *_: lambda _: None, Mock(), scale=0.01)


async def test_photos_of_a_burst_are_waited_for_as_long_as_some_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, began = FakeClock(monkeypatch, levelling), 1000.0
    uploads = Uploads(stage_of(helper_url="http://127.0.0.1:9"), Mock(), lambda: b"", "busy")
    uploads.at = [0.0] * 5

    async def slowly(*_: Any) -> dict[str, datetime]:
        number = int((clock.now - began) / (GRACE_S - 1))
        return {str(each): AT + timedelta(seconds=each) for each in range(min(5, number))}

    monkeypatch.setattr(levelling, "read_times", slowly)
    assert len(await uploads.all_read()) == 5
    monkeypatch.setattr(levelling, "read_times", AsyncMock(return_value={"0": AT}))
    assert len(await uploads.all_read()) == 1


async def test_messages_of_a_burst_that_still_wait_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def stood_in(*_: Any, **__: Any) -> AsyncIterator[Any]:
        yield Mock(amqp_url="amqp://h/v", hear=AsyncMock(return_value={"failed": 0}))

    monkeypatch.setattr(bursts, "scratch_space", stood_in)
    monkeypatch.setattr(bursts, "worker", stood_in)
    monkeypatch.setattr(bursts, "until_empty", AsyncMock(return_value=7))
    with pytest.raises(NotMeasured, match="7 of 1440 messages still wait"):
        await bursts.measure(stage_of())


@pytest.mark.parametrize("drained", [True, False])
async def test_tasks_that_still_wait_after_the_kills_are_not_lost(
    monkeypatch: pytest.MonkeyPatch, drained: bool
) -> None:
    stage, found = stage_of(helper_url="http://127.0.0.1:9", pids={}), Verification({})
    monkeypatch.setattr(stage, "until_empty", AsyncMock(return_value=True))
    monkeypatch.setattr(stage, "waiting", AsyncMock(return_value=0))
    monkeypatch.setattr(state, "running_stack", lambda _: {"pids": {}})
    monkeypatch.setattr(previews, "times", AsyncMock(return_value=[0.1]))
    monkeypatch.setattr(alerts, "times", AsyncMock(return_value=[0.1]))
    for name, value in (
        *(("_fill", {"a", "b", "c"}), ("_until_waiting", None), ("_ready", 10_000), ("_kill_each", 3)),
        *(("_until_empty", drained), ("_look", (1, 0)), ("_dead", 0)),
    ):
        monkeypatch.setattr(backlog, name, AsyncMock(return_value=value))
    await asyncio.wait_for(backlog.check(stage, found), 20)
    lost = [each.value for each in found.outcomes if each.what == "lost or not read once"]
    assert lost == ([2] if drained else [])
    assert bool(found.failures) is not drained
    assert not found.passed
