"""What could bring a person back is found wherever it is: also in between, and in the hands of others."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_testing.messaging import Messaging
from operations.erasures import Surroundings
from operations.queue_health import Ages, Counts
from operations.repository import Store
from operations.service.surroundings import PeopleInQueues

from .conftest import DEAD, QUEUE, bury, holds

pytestmark = pytest.mark.servers
WHO = "customer-kim"
RETRIES = [name for name, _ in PLAN.queue(QUEUE).retries]
SECOND_RETRY = RETRIES[1]
HOUR = timedelta(hours=1)


class Told:
    """What the broker tells of its queues, look by look."""

    def __init__(self, *looks: dict[str, Counts]) -> None:
        self._looks = list(looks)

    async def queues(self) -> dict[str, Counts]:
        empty = {name: Counts(name, published=9) for name in (QUEUE, DEAD, *RETRIES)}
        return empty | (self._looks.pop(0) if len(self._looks) > 1 else self._looks[0])


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(database_url, pool=2)
    yield store
    await store.close()


def watched(**came_s_ago: float) -> Ages:
    """Ages of a watch of two hours, in which a ninth message came to each queue: so long ago."""
    ages, now = Ages((QUEUE, *RETRIES)), time.monotonic()
    for name in (QUEUE, *RETRIES):
        last = came_s_ago.get(name.replace(".", "_"), 7200.0 - 1)
        for at, published in ((now - 7200, 8), (now - last - 0.1, 8), (now - last, 9), (now, 9)):
            ages.observe(Counts(name, published=published), at)
    return ages


async def look(
    store: Store,
    amqp_url: str,
    *looks: dict[str, Counts],
    ages: Ages | None = None,
    since: datetime | None = None,
) -> Surroundings:
    management: Any = Told(*looks)
    plan = Plan(queues=(PLAN.queue(QUEUE),), services=())
    people = PeopleInQueues(amqp_url, store, management, ages or watched(), scan=100, lag_s=10, plan=plan)
    return await people.look(WHO, since or datetime.now(UTC) - HOUR)


def waits(name: str, **counts: Any) -> dict[str, Counts]:
    return {name: Counts(name, **{"ready": 1, "published": 9, **counts})}


async def test_nothing_is_found_where_nothing_is(store: Store, operator_url: str) -> None:
    assert await look(store, operator_url, {}) == Surroundings(0, drained=True)


async def test_a_letter_that_somebody_else_holds_leaves_it_unknown_whom_letters_name(
    store: Store, operator_url: str, messaging: Messaging
) -> None:
    await bury(messaging, "m1", **{"x-error-message": f"no such customer: {WHO}"})

    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        async with messaging.channel() as channel:
            letter = await (await channel.get_queue(DEAD, ensure=False)).get(timeout=5)
            yield
            await letter.nack(requeue=True)

    async with held():
        found = await look(store, operator_url, waits(DEAD, ready=0, unacked=1))
        assert found == Surroundings(None, drained=False)
    await holds(messaging, DEAD, 1)
    assert (await look(store, operator_url, waits(DEAD))).dead_letters == 1


@pytest.mark.parametrize("known", [True, False])
async def test_what_the_broker_does_not_tell_is_no_empty_queue(
    store: Store, operator_url: str, known: bool
) -> None:
    found = await look(store, operator_url, waits(DEAD, ready=0, known=known))
    assert found.dead_letters == (0 if known else None)
    for name in (QUEUE, SECOND_RETRY):
        assert (await look(store, operator_url, waits(name, ready=0, known=known))).drained is known


async def test_what_is_sent_back_while_letters_are_looked_at_is_found_where_it_goes(
    store: Store, operator_url: str
) -> None:
    ages = watched(task_read=1800)
    assert (await look(store, operator_url, waits(QUEUE), ages=ages)).drained, "it came after everything"
    earlier = datetime.now(UTC) - timedelta(minutes=20)
    orders: list[list[dict[str, Counts]]] = [[{}, waits(QUEUE)], [waits(QUEUE), {}]]
    for looks in orders:
        assert not (await look(store, operator_url, *looks, ages=ages, since=earlier)).drained


async def test_a_letter_that_was_sent_back_is_as_old_as_what_died(store: Store, operator_url: str) -> None:
    ages = watched(task_read=1800)
    assert (await look(store, operator_url, waits(QUEUE), ages=ages)).drained
    letter, act = DeadLetter(QUEUE, "m1", {}, b"{}"), OperatorAction("redrive", "op-1", "mended")
    for minutes, drained in ((40, True), (20, False)):
        sent_back = datetime.now(UTC) - timedelta(minutes=minutes)
        await (await store.audit()).write(letter, act, sent_back)
        assert (await look(store, operator_url, waits(QUEUE), ages=ages)).drained is drained


async def test_what_is_retried_is_as_old_as_what_failed(store: Store, operator_url: str) -> None:
    # Its copy came a moment ago, and it did not.
    ages = watched(task_read_retry_2s=5)
    assert not (await look(store, operator_url, waits(SECOND_RETRY), ages=ages)).drained
    # The queue's own message came a second ago: only the retry says that it may be older.
    ages = watched(task_read=1, task_read_retry_2s=5)
    assert not (await look(store, operator_url, waits(QUEUE), ages=ages)).drained, "it may be back"
    ages = watched(task_read=1, task_read_retry_2s=60)
    assert (await look(store, operator_url, waits(QUEUE), ages=ages)).drained, "it came after the last retry"
