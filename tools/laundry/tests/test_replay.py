"""A replay reads what it sends at the last moment, and waits for nobody without end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from laundry.history import effects
from laundry.history import replay as replays
from laundry.history.effects import Places
from laundry.history.log import Happening
from laundry.history.replay import WAITING_AT_MOST, Following, replay
from laundry_events import new_id
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

from .task_events import confirmed


class Broker:
    """A queue that holds so many messages, look by look, and takes what it is sent."""

    def __init__(self, *waiting: int) -> None:
        self.waiting = list(waiting)
        self.sent: list[str] = []
        self.default_exchange = self

    @asynccontextmanager
    async def channel(self, **_: Any) -> AsyncIterator["Broker"]:
        yield self

    async def declare_queue(self, *_: Any, **__: Any) -> Any:
        held = self.waiting.pop(0) if len(self.waiting) > 1 else self.waiting[0]
        return SimpleNamespace(declaration_result=SimpleNamespace(message_count=held))

    async def publish(self, message: Any, *_: Any, **__: Any) -> None:
        self.sent.append(message.message_id)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "LOOK_S", "STALLED_S"):
        monkeypatch.setattr(replays, name, 0.0)


async def some(*tasks: str, then: Any = None) -> AsyncIterator[list[Happening]]:
    for task in tasks:
        if then is not None:
            then()
        yield [Happening(new_id(), confirmed(task), datetime.now(UTC), "tests", {})]


async def test_whom_events_name_is_asked_once_there_is_room_and_not_before() -> None:
    broker: Any = Broker(WAITING_AT_MOST + 1, WAITING_AT_MOST, WAITING_AT_MOST - 1, 0)
    left: list[int] = []
    happenings = some("t1", "t2", then=lambda: left.append(len(broker.waiting)))
    assert await replay(broker, "task.confirmed", happenings, silent=True) == 2
    assert left == [1, 1], "the queue was looked at until there was room"
    assert len(broker.sent) == 2


async def test_a_queue_that_stays_full_is_not_waited_for_without_end() -> None:
    broker: Any = Broker(WAITING_AT_MOST)
    with pytest.raises(LaundryError, match="take from task"):
        await replay(broker, "task.confirmed", some("t1"), silent=True)
    assert broker.sent == []


@pytest.mark.parametrize(("claims", "buries"), [(False, False), (True, False), (False, True)])
async def test_what_is_sent_is_followed_until_it_has_its_effect_or_is_a_dead_letter(
    claims: bool, buries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    async def fetch(_: str, __: str, ids: list[str]) -> list[dict[str, str]]:
        return [{"message_id": each} for each in ids if claims]

    @asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(fetch=fetch)

    async def totals() -> dict[str, int]:
        return {}

    async def dead_in(_: str) -> tuple[set[str], int]:
        return set(sent) if buries else set(), 1

    monkeypatch.setattr(effects, "connected", connected)
    places = Places({"mlops": "postgresql://nobody@127.0.0.1:1/mlops"}, totals, dead_in)
    following = Following(PLAN.queue("task.confirmed"), places)
    async for events in following.through(some("t1", "t2")):
        sent += [each.id for each in events]
    if claims or buries:
        await following.handled("Feed the rest.")
    else:
        with pytest.raises(LaundryError, match=r"2 events have waited.*Feed the rest\."):
            await following.handled("Feed the rest.")
