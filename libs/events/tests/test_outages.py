"""A server that every message needs goes away and comes back: nothing climbs the ladder meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from laundry_events import Dependency, EventConsumer, EventMeta, Publisher, Refused, make_broker
from laundry_events.broker import ConsumingBroker
from laundry_events.circuit_breaker import CircuitBreaker, HoldEnded
from laundry_events.events import TaskRead
from laundry_testing.messaging import Messaging, eventually

PREFETCH = 4


class ServerAway(Exception):
    pass


class Server:
    """Something that messages need, to be taken away and given back."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0
        self.need = Dependency("store", lambda error: isinstance(error, ServerAway), self.probe)

    async def probe(self) -> bool:
        self.asked += 1
        if not self.there:
            raise ConnectionError("refused")
        return True

    def use(self) -> None:
        if not self.there:
            raise ServerAway


def reading(task_id: str) -> TaskRead:
    return TaskRead(
        task_id=task_id,
        task_version=1,
        branch_id="b1",
        outcome="read",
        model_version="m1",
        read_at=datetime.now(UTC),
    )


@pytest.fixture
def server() -> Server:
    return Server()


@pytest_asyncio.fixture
async def broker(messaging: Messaging) -> AsyncIterator[ConsumingBroker]:
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=60)
    yield broker
    await broker.stop()


@pytest_asyncio.fixture
async def consumer(broker: ConsumingBroker, publisher: Publisher, server: Server) -> EventConsumer:
    return EventConsumer(broker, publisher, service="tests", service_version="1", dependencies=[server.need])


@pytest.mark.servers
async def test_messages_wait_for_a_server_that_is_away_and_none_loses_an_attempt(
    consumer: EventConsumer,
    broker: ConsumingBroker,
    publisher: Publisher,
    messaging: Messaging,
    server: Server,
) -> None:
    calls: list[str] = []
    done: list[tuple[str, int]] = []

    @consumer.on("task.read", TaskRead, prefetch=PREFETCH)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        calls.append(event.task_id)
        server.use()
        done.append((event.task_id, meta.attempt))

    server.there = False
    for number in range(12):
        await publisher.publish(reading(f"t{number}"))
    await broker.start()
    await eventually(lambda: server.asked >= 3, what="several probes")
    assert broker.paused_for == "store"
    assert 1 <= len(calls) <= PREFETCH, "what is in hand was tried at most once; nothing spins"
    assert len(calls) == len(set(calls))
    assert await messaging.count("task.read") == 12 - PREFETCH, "nothing more is taken"
    server.there = True
    await eventually(lambda: len(done) == 12, what="every message")
    assert {attempt for _, attempt in done} == {1}
    assert len({task for task, _ in done}) == 12
    assert broker.paused_for is None
    for queue in ("task.read.dlq", "task.read.retry.1s"):
        assert await messaging.count(queue) == 0


@pytest.mark.servers
async def test_an_error_of_one_message_is_no_outage(
    consumer: EventConsumer,
    broker: ConsumingBroker,
    publisher: Publisher,
    messaging: Messaging,
    server: Server,
) -> None:
    done: list[str] = []

    @consumer.on("task.read", TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        if event.task_id == "bad":
            raise ServerAway
        done.append(event.task_id)

    await broker.start()
    await publisher.publish(reading("bad"))
    await publisher.publish(reading("good"))
    await eventually(lambda: done == ["good"], what="the message behind it")
    assert broker.paused_for is None
    dead = await messaging.take("task.read.dlq")
    assert dead.headers["x-attempts"] == 4


@pytest.mark.servers
async def test_a_consumer_that_stops_gives_back_what_it_holds(
    consumer: EventConsumer,
    broker: ConsumingBroker,
    publisher: Publisher,
    messaging: Messaging,
    server: Server,
) -> None:
    @consumer.on("task.read", TaskRead, prefetch=PREFETCH)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        server.use()

    server.there = False
    for number in range(3):
        await publisher.publish(reading(f"t{number}"))
    await broker.start()
    await eventually(lambda: broker.paused_for, what="the pause")
    async with asyncio.timeout(30):  # half the graceful timeout: nothing is waited for
        await broker.stop()

    async def all_back() -> bool:
        return await messaging.count("task.read") == 3

    await eventually(all_back, what="all three in their queue")
    assert (await messaging.take("task.read")).headers.get("x-delivery-count") is None


@pytest.mark.servers
async def test_a_result_that_finds_no_room_sends_its_message_back_not_up_the_ladder(
    consumer: EventConsumer, broker: ConsumingBroker, publisher: Publisher, messaging: Messaging
) -> None:
    full, attempts = True, []

    @consumer.on("task.read", TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        if full:
            raise Refused("the next queue is full")

    await broker.start()
    await publisher.publish(reading("t1"))
    await eventually(lambda: len(attempts) >= 2, what="a second try")
    full = False
    tried = len(attempts)
    await eventually(lambda: len(attempts) > tried, what="the try that works")
    assert set(attempts) == {1}
    assert await messaging.count("task.read.dlq") == 0


async def test_a_window_full_of_failures_asks_the_server_once() -> None:
    server = Server()
    server.there = False
    gate = CircuitBreaker([server.need])
    answers = await asyncio.gather(*(gate.shuts_for(ServerAway()) for _ in range(50)))
    assert all(answers)
    assert server.asked == 1
    assert not await gate.shuts_for(ValueError())
    gate.release()
    with pytest.raises(HoldEnded):
        await gate.passes(within_s=1)


async def test_who_waits_too_long_hears_of_it() -> None:
    server = Server()
    server.there = False
    gate = CircuitBreaker([server.need])
    assert await gate.shuts_for(ServerAway())
    with pytest.raises(HoldEnded):
        await gate.passes(within_s=0.05)
    gate.release()


async def test_a_second_server_is_waited_for_after_the_first() -> None:
    first, second = Server(), Server()
    other = Dependency("other", lambda error: isinstance(error, KeyError), second.probe)
    gate = CircuitBreaker([first.need, other])
    first.there = second.there = False
    assert await gate.shuts_for(ServerAway())
    assert await gate.shuts_for(KeyError())
    assert gate.away == "store"
    first.there = True
    await gate.passes(within_s=10)
    assert await gate.shuts_for(KeyError())
    assert gate.away == "other"
    second.there = True
    await gate.passes(within_s=10)
    gate.release()
