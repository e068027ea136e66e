"""Messages that wait: for their turn, through broken connections, for a server that only seems well."""

import asyncio
from typing import Any

import pytest

from laundry_events import (
    BrokerUnavailable,
    Dependency,
    EventMeta,
    Publisher,
    RequeueMessage,
    Unroutable,
    make_broker,
    subscription,
)
from laundry_events.broker import ConsumingBroker
from laundry_events.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker
from laundry_events.delivery import Delivery
from laundry_events.events import TaskRead
from laundry_events.outcome import Outcome, Requeue
from laundry_events.poison import DEAD_LETTER_AT, HANDLE_ANYWAY_AT, ISOLATE_AT
from laundry_events.settlement import Settlement
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

pytestmark = pytest.mark.servers
QUEUE = "task.read"


class Refuses(Exception):
    """The server answers pings, and refuses everything else."""


class Server:
    def __init__(self) -> None:
        self.well = True
        self.pings = True
        self.bad: set[str] = set()
        self.tried: list[str] = []
        self.done: list[tuple[str, int]] = []

    async def ping(self) -> bool:
        return self.pings

    @property
    def dependency(self) -> Dependency:
        return Dependency("store", lambda error: isinstance(error, Refuses), self.ping)

    async def handle(self, event: TaskRead, meta: EventMeta) -> None:
        self.tried.append(event.task_id)
        if not self.well or event.task_id in self.bad:
            raise Refuses("403")
        self.done.append((event.task_id, meta.attempt))


async def publish(publisher: Publisher, count: int) -> set[str]:
    return {await publisher.publish(reading(f"t{number}"), event_id=f"m{number}") for number in range(count)}


async def lose_connections(messaging: Messaging, count: int, *, times: int) -> None:
    """Take all messages and lose the connection with them in flight, again and again."""
    for _ in range(times):
        async with messaging.channel() as channel:
            queue = await channel.get_queue(QUEUE, ensure=False)
            for _ in range(count):
                assert await _got(queue)

        async def back() -> bool:
            return await messaging.count(QUEUE) == count

        await eventually(back, what="all back in the queue")


async def _got(queue: Any) -> Any:
    return await eventually(lambda: queue.get(fail=False, timeout=5), what="a message")


async def empty(messaging: Messaging, *queues: str) -> bool:
    return [await messaging.count(queue) for queue in queues] == [0] * len(queues)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_what_may_be_poison_waits_at_the_circuit_breaker_together_and_not_one_behind_the_other(
    broker: ConsumingBroker,
    publisher: Publisher,
    messaging: Messaging,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "HOLD_S", 0.5)
    returned: set[str | None] = set()
    settle = Settlement.settle

    async def noted(self: Settlement, delivery: Delivery, outcome: Outcome) -> None:
        if isinstance(outcome, Requeue):
            returned.add(delivery.raw.message_id)
        await settle(self, delivery, outcome)

    monkeypatch.setattr(Settlement, "settle", noted)
    sent = await publish(publisher, 4)
    await lose_connections(messaging, 4, times=ISOLATE_AT)
    server.well = server.pings = False
    consume(broker, publisher, server.dependency).on(QUEUE, TaskRead, prefetch=4)(server.handle)
    await broker.start()
    await eventually(lambda: returned == sent, what="the return of each within its own time")
    monkeypatch.setattr(subscription, "HOLD_S", 20)
    server.well = server.pings = True
    await eventually(lambda: len(server.done) == 4, what="every message")


async def test_a_message_that_is_held_outlives_any_number_of_lost_connections(
    publisher: Publisher, messaging: Messaging, server: Server
) -> None:
    sent = await publish(publisher, 2)
    await lose_connections(messaging, 2, times=HANDLE_ANYWAY_AT)
    server.well = server.pings = False
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=10)
    consume(broker, publisher, server.dependency).on(QUEUE, TaskRead, prefetch=2)(server.handle)
    await broker.start()
    # They were tried though the server is away, and wait on as copies that nobody died with: for four
    # seconds, so the copies are taken as they come.
    copies = [await _peeked(messaging, f"{QUEUE}.retry.4s") for _ in sent]
    await broker.stop()
    assert {copy.message_id for copy in copies} == sent
    for copy in copies:
        assert copy.headers.get("x-delivery-count", 0) == 0
        assert copy.headers.get("x-attempt", 1) == 1
        assert copy.headers["x-put-off"] >= 1
    assert await empty(messaging, f"{QUEUE}.dlq")


async def _peeked(messaging: Messaging, queue: str) -> Any:
    return await messaging.take(queue)


async def test_who_dies_with_its_consumers_is_buried_by_the_last_one_with_all_that_is_known(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, server: Server
) -> None:
    await publish(publisher, 1)
    await lose_connections(messaging, 1, times=DEAD_LETTER_AT)
    consume(broker, publisher).on(QUEUE, TaskRead, prefetch=2)(server.handle)
    await broker.start()
    dead = await messaging.take(f"{QUEUE}.dlq")
    assert server.tried == []
    assert dead.headers["x-dead-reason"] == "delivery_limit"
    assert dead.headers["x-error-class"] == "ConsumerKilled"
    assert dead.headers["x-deliveries"] == DEAD_LETTER_AT + 1
    assert dead.headers["x-original-queue"] == QUEUE
    assert "x-delivery-count" not in dead.headers


async def test_a_server_that_answers_pings_only_costs_a_few_messages_one_attempt(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, server: Server
) -> None:
    server.well = False
    count = 4 * FAILURES_TO_OPEN
    await publish(publisher, count)
    consume(broker, publisher, server.dependency).on(QUEUE, TaskRead, prefetch=FAILURES_TO_OPEN)(
        server.handle
    )
    await broker.start()
    await eventually(lambda: broker.paused_for == "store", what="the pause")
    tried = len(server.tried)
    await eventually(lambda: len(server.tried) >= tried + 3, what="probes")
    server.well = True
    await eventually(lambda: len(server.done) == count, what="every message")
    assert broker.paused_for is None
    assert max(attempt for _, attempt in server.done) <= 2
    assert sum(attempt > 1 for _, attempt in server.done) < FAILURES_TO_OPEN
    assert await empty(messaging, f"{QUEUE}.dlq")


async def test_a_window_full_of_bad_messages_does_not_hold_up_the_good_one_behind(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, server: Server
) -> None:
    server.bad = {f"t{number}" for number in range(FAILURES_TO_OPEN)}
    await publish(publisher, FAILURES_TO_OPEN + 1)
    consume(broker, publisher, server.dependency).on(QUEUE, TaskRead, prefetch=1)(server.handle)
    await broker.start()
    await eventually(lambda: server.done, within_s=60, what="the good one")
    assert server.done == [(f"t{FAILURES_TO_OPEN}", 1)]


@pytest.mark.parametrize("error", [Unroutable("no binding"), RequeueMessage("not yet")])
async def test_what_is_not_the_messages_fault_sends_it_back_without_an_attempt(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, error: Exception
) -> None:
    attempts: list[int] = []

    async def handle(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        if len(attempts) < 3:
            raise error

    consume(broker, publisher).on(QUEUE, TaskRead, prefetch=1)(handle)
    await broker.start()
    await publish(publisher, 1)
    await eventually(lambda: len(attempts) >= 3, what="the try that works")
    assert set(attempts) == {1}
    assert await empty(messaging, f"{QUEUE}.dlq", f"{QUEUE}.retry.1s")


async def test_while_the_broker_takes_nothing_no_message_is_handled_twice_in_vain(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    hindered, asked, tried, done = True, 0, 0, 0

    async def can_publish() -> bool:
        nonlocal asked
        asked += 1
        return not hindered

    async def handle(event: TaskRead, meta: EventMeta) -> None:
        nonlocal tried, done
        tried += 1
        if hindered:
            raise BrokerUnavailable("an alarm")
        done += 1

    monkeypatch.setattr(publisher, "can_publish", can_publish)
    consume(broker, publisher).on(QUEUE, TaskRead, prefetch=1)(handle)
    await broker.start()
    await publish(publisher, 1)
    await eventually(lambda: asked >= 4, what="questions")
    assert (tried, broker.paused_for) == (1, "broker")
    hindered = False
    await eventually(lambda: done == 1, what="the message")


async def failing(breaker: CircuitBreaker, *names: str) -> list[bool]:
    return [await breaker.opens_for(Refuses(), message=name) for name in names]


async def test_one_message_that_fails_often_is_no_outage_and_a_success_in_between_ends_a_row() -> None:
    breaker = CircuitBreaker([Server().dependency])
    assert await failing(breaker, *["same"] * 3 * FAILURES_TO_OPEN) == [False] * 3 * FAILURES_TO_OPEN
    assert await failing(breaker, *(f"a{number}" for number in range(FAILURES_TO_OPEN - 2))) == [False] * (
        FAILURES_TO_OPEN - 2
    )
    breaker.succeeded()
    assert not breaker.has_failures
    assert not any(await failing(breaker, *(f"b{number}" for number in range(FAILURES_TO_OPEN - 1))))
    assert await failing(breaker, "last") == [True]
    breaker.release()


async def test_only_one_at_a_time_is_the_probe_and_who_leaves_makes_room() -> None:
    breaker = CircuitBreaker([Server().dependency])
    await failing(breaker, *(f"m{number}" for number in range(FAILURES_TO_OPEN)))
    waiting = [asyncio.create_task(breaker.wait(within_s=20)) for _ in range(3)]
    async with asyncio.timeout(20):
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (first,) = done
        probe = first.result()
        assert probe is not None
        probe.end(False)
        waiting.remove(first)
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (second,) = done
        assert breaker.open
        breaker.succeeded(second.result())
        waiting.remove(second)
        assert await waiting[0] is None
    assert (breaker.open, breaker.away) == (False, None)
