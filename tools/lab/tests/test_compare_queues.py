"""One queue for four kinds of messages, and a queue for each: what is counted, and on a real broker."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

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
    found = figures("backlog", seen, [0.0, 0.0], at=seen.first, expected=3)
    assert (found["backlog_per_s"], found["backlog_missing"], found["backlog_deliveries"]) == (1, 1, 1.5)
    assert found["backlog_p99_ms"] == 2000


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
