"""One queue for four kinds of messages, and a queue for each: what is counted, and on a real broker."""

import io
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from rich.console import Console

from laundry_lab.compare.queues import report
from laundry_lab.compare.queues import trial as counting
from laundry_lab.compare.queues.trial import KINDS, LAYOUTS, Layout, Seen, figures, trial
from laundry_testing.plugin import Vhost

NUMBER = 80


async def test_a_backlog_is_timed_from_the_first_delivery_to_consumers_that_are_all_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    at = iter([100.0, 200.0, 300.0])

    class Consumer:
        """A connection, its channel and its queue; the first that consumes is given two messages."""

        async def __aenter__(self) -> "Consumer":
            order.append("connected")
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def channel(self) -> "Consumer":
            return self

        async def get_queue(self, _: str) -> "Consumer":
            return self

        async def set_qos(self, _: int) -> None: ...

        async def consume(self, handle: Callable[[Any], Awaitable[None]], timeout: float) -> None:
            order.append("consumes")
            for kind in KINDS:
                for _ in range(2 if order.count("consumes") == 1 else 0):
                    await handle(Mock(routing_key=kind, message_id=kind, ack=AsyncMock(), nack=AsyncMock()))

    async def connect(*_: object, **__: object) -> Consumer:
        return Consumer()

    monkeypatch.setattr(counting, "aio_pika", SimpleNamespace(connect=connect))
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: next(at)))
    monkeypatch.setattr(counting, "asyncio", SimpleNamespace(sleep=AsyncMock()))
    async with counting._consuming("", LAYOUTS[1], list(KINDS)) as seen:
        assert order == ["connected"] * 4 + ["consumes"] * 4
    assert (seen.first, seen.last, seen.took) == (100, 300, {KINDS[0]: 200})


def test_a_rate_is_of_the_time_since_it_is_counted() -> None:
    seen = Seen(took={"0": 11.0, "1": 12.0}, deliveries=3, first=10.0, last=12.0)
    found = figures("backlog", seen, [0.0, 0.0], at=seen.first, expected=2)
    assert (found["backlog_per_s"], found["backlog_missing"], found["backlog_deliveries"]) == (1, 0, 1.5)
    assert found["backlog_p99_ms"] == 2000


def test_what_was_not_handled_is_infinitely_late_and_leaves_no_rate() -> None:
    seen = Seen(took={str(each): 10.5 for each in range(98)}, deliveries=98, first=10.0, last=10.5)
    found = figures("away", seen, [0.0] * 100, at=10.0, expected=100)
    assert (found["away_p50_ms"], found["away_p99_ms"], found["away_missing"]) == (500, math.inf, 2)
    assert "away_per_s" not in found
    none = figures("away", Seen(), [0.0] * 3, at=10.0, expected=3)
    assert (none["away_p50_ms"], none["away_deliveries"]) == (math.inf, 0)


def test_the_table_has_what_was_measured_and_says_how_long_it_was_waited_for() -> None:
    found = {"one": {"away_p99_ms": math.inf, "backlog_missing": 384.0, "steady_p50_ms": 12.0}}
    told = io.StringIO()
    Console(file=told, width=160).print(report.table(found))
    text = told.getvalue()
    assert "never" in text
    assert re.search(r"not handled when nothing had been for 3 s +│ +384 ", text)
    assert LAYOUTS[0].title not in text
    assert report.layouts(found) == {
        "one": {"away_p99_ms": None, "backlog_missing": 384, "steady_p50_ms": 12}
    }


async def test_a_backlog_that_waited_for_slow_connections_is_not_timed_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]

    @asynccontextmanager
    async def declared(*_: object) -> AsyncIterator[None]:
        yield None

    @asynccontextmanager
    async def consuming(*_: object) -> AsyncIterator[Seen]:
        now[0] = 1012.0
        yield Seen(took={"0": 1011.0, "1": 1012.0}, deliveries=2, first=1010.0, last=1012.0)

    monkeypatch.setattr(counting, "_declared", declared)
    monkeypatch.setattr(counting, "_consuming", consuming)
    monkeypatch.setattr(counting, "_publish", AsyncMock())
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    found = await trial("", LAYOUTS[0], "backlog", [0.0, 0.0])
    assert found["backlog_per_s"] == 1
    assert found["backlog_p99_ms"] == 2000


@pytest.mark.servers
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
async def test_who_filters_is_given_what_is_for_others(vhost: Vhost, layout: Layout) -> None:
    found = await trial(vhost.amqp_url, layout, "backlog", [0.0] * NUMBER)
    if layout.shared:
        assert found["backlog_deliveries"] > 1.5
    else:
        assert (found["backlog_deliveries"], found["backlog_missing"]) == (1, 0)
    assert 0 < found["backlog_p50_ms"] <= found["backlog_p99_ms"]
