"""A server that every message needs goes away and comes back: nothing is retried meanwhile."""

import asyncio

import pytest

from laundry_events import Dependency, EventConsumer, EventMeta, Publisher, Refused
from laundry_events.broker import ConsumingBroker
from laundry_events.circuit_breaker import CircuitBreaker, HoldEnded
from laundry_events.events import TaskRead
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

PREFETCH = 4


class ServerAway(Exception):
    pass


class Server:
    """Something that messages need, to be taken away and given back."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0
        self.dependency = Dependency("store", lambda error: isinstance(error, ServerAway), self.probe)

    async def probe(self) -> bool:
        self.asked += 1
        if not self.there:
            raise ConnectionError("refused")
        return True

    def use(self) -> None:
        if not self.there:
            raise ServerAway


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def graceful_timeout_s() -> float:
    """Longer than any test may take: what is held must not make a stop wait."""
    return 60


@pytest.fixture
def consumer(broker: ConsumingBroker, publisher: Publisher, server: Server) -> EventConsumer:
    return consume(broker, publisher, server.dependency)


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
    paused_for = broker.paused_for
    assert paused_for == "store"
    assert 1 <= len(calls) <= PREFETCH, "what is in flight was tried at most once; nothing spins"
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
async def test_a_result_that_finds_no_room_sends_its_message_back_without_a_retry(
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
    breaker = CircuitBreaker([server.dependency])
    answers = await asyncio.gather(*(breaker.opens_for(ServerAway()) for _ in range(50)))
    assert all(answers)
    assert server.asked == 1
    assert not await breaker.opens_for(ValueError())
    breaker.release()
    with pytest.raises(HoldEnded):
        await breaker.wait(within_s=1)


async def test_who_waits_too_long_hears_of_it() -> None:
    server = Server()
    server.there = False
    breaker = CircuitBreaker([server.dependency])
    assert await breaker.opens_for(ServerAway())
    with pytest.raises(HoldEnded):
        await breaker.wait(within_s=0.05)
    breaker.release()


async def test_a_second_server_is_waited_for_after_the_first() -> None:
    first, second = Server(), Server()
    other = Dependency("other", lambda error: isinstance(error, KeyError), second.probe)
    breaker = CircuitBreaker([first.dependency, other])
    first.there = second.there = False
    assert await breaker.opens_for(ServerAway())
    assert await breaker.opens_for(KeyError())
    assert breaker.away == "store"
    first.there = True
    await breaker.wait(within_s=10)
    assert await breaker.opens_for(KeyError())
    assert breaker.away == "other"
    second.there = True
    await breaker.wait(within_s=10)
    breaker.release()
