"""A failed message is settled, whatever the broker says to its copy, and nobody else notices."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from laundry_events import (
    BrokerUnavailable,
    EventMeta,
    PermanentError,
    Publisher,
    in_flight,
)
from laundry_events.broker import ConsumingBroker
from laundry_events.envelope import MAX_MESSAGE_BYTES
from laundry_events.errors import Unpublishable, Unroutable
from laundry_events.events import TaskRead
from laundry_events.in_flight import InFlight, held
from laundry_events.plan import DEAD_EXCHANGE
from laundry_events.republisher import Republisher
from laundry_events.settlement import Settlement
from laundry_events.topology import PLAN, TELEMETRY_EXCHANGE
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

TELEMETRY, READ = "telemetry.reported", "task.read"


@pytest_asyncio.fixture
async def copies(publisher: Publisher) -> AsyncIterator[Republisher]:
    copies = Republisher(publisher)
    yield copies
    await copies.stop()


async def limit(messaging: Messaging, queue: str, **definition: Any) -> None:
    """Change a queue's policy, and wait until the broker keeps to it."""
    login = (messaging.broker.username, messaging.broker.password)
    async with httpx.AsyncClient(base_url=messaging.broker.management_url, auth=login, timeout=30) as api:
        policy = (await api.get(f"/api/policies/{messaging.vhost}/{queue}")).json()
        policy["definition"] |= definition
        (await api.put(f"/api/policies/{messaging.vhost}/{queue}", json=policy)).raise_for_status()

        async def in_force() -> bool:
            answer = (await api.get(f"/api/queues/{messaging.vhost}/{queue}")).json()
            effective: dict[str, int] = answer.get("effective_policy_definition", {})
            return definition.items() <= effective.items()

        await eventually(in_force, what=f"the limit of {queue}")


async def to_dead(copies: Republisher, headers: dict[str, Any], body: bytes = b"{}") -> None:
    await copies.send(
        DEAD_EXCHANGE, f"{READ}.dlq", body=body, headers=headers, message_id="m", content_type=None
    )


@pytest.mark.servers
async def test_a_copy_that_is_refused_takes_nobody_along(
    copies: Republisher, publisher: Publisher, messaging: Messaging
) -> None:
    bad: list[dict[str, Any]] = [{"CC": "x"}, {"BCC": 5}, {"n": b"\xff"}, {"n": 2**70}, {"n": "\ud800"}]
    sent = [to_dead(copies, {"number": number}) for number in range(20)]
    sent += [to_dead(copies, headers) for headers in bad]
    events = [publisher.publish(reading(f"t{number}")) for number in range(20)]
    results = await asyncio.gather(*sent, *events, return_exceptions=True)
    assert [type(result) for result in results[20 : 20 + len(bad)]] == [Unpublishable] * len(bad)
    assert not [each for each in (*results[:20], *results[20 + len(bad) :]) if isinstance(each, Exception)]
    assert await messaging.count(f"{READ}.dlq") == 20
    with pytest.raises(Unroutable):
        await copies.send("laundry.dead", "nobody", body=b"", headers={}, message_id="m", content_type=None)


@pytest.mark.servers
async def test_a_connection_of_copies_that_goes_is_made_anew(
    copies: Republisher, messaging: Messaging
) -> None:
    await to_dead(copies, {})
    assert copies._connection is not None
    await copies._connection.close()
    await to_dead(copies, {})
    assert await messaging.count(f"{READ}.dlq") == 2


async def test_without_a_broker_a_copy_fails_as_unavailable() -> None:
    copies = Republisher(Publisher("amqp://nobody:nothing@127.0.0.1:9/", source="tests"))
    with pytest.raises(BrokerUnavailable):
        await to_dead(copies, {})
    await copies.stop()


@pytest.mark.servers
async def test_what_the_broker_takes_in_no_copy_is_stored_in_a_form_of_ours(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refused = Republisher.send, 0

    async def picky(self: Republisher, exchange: str, key: str, **what: Any) -> None:
        nonlocal refused
        if len(what["body"]) > MAX_MESSAGE_BYTES or "x-foreign-headers" in what["headers"]:
            refused += 1
            raise Unpublishable("PRECONDITION_FAILED")
        await send(self, exchange, key, **what)

    monkeypatch.setattr(Republisher, "send", picky)

    @consume(broker, publisher).on_raw(TELEMETRY, prefetch=5)
    async def handle(body: bytes, meta: EventMeta) -> None:
        raise RuntimeError("not now")

    await broker.start()
    body = b"x" * 100_000
    await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", body, headers={"odd": "v"})
    dead = await messaging.take(f"{TELEMETRY}.dlq")
    assert refused
    assert dead.headers["x-dead-reason"] == "copy-refused"
    assert "PRECONDITION_FAILED" in str(dead.headers["x-error-message"])
    assert dead.headers["x-original-routing-key"] == "telemetry.washer-1"
    assert (len(dead.body), dead.headers["x-body-bytes"]) == (MAX_MESSAGE_BYTES, len(body))
    assert dead.headers["x-body-sha256"] == hashlib.sha256(body).hexdigest()
    assert await messaging.count(TELEMETRY) == 0


@pytest.mark.servers
async def test_a_failure_of_our_own_code_leaves_nothing_unacknowledged(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Settlement, *_: Any) -> None:
        raise TypeError("nobody thought of this")

    monkeypatch.setattr(Settlement, "settle", broken)

    @consume(broker, publisher).on_raw(TELEMETRY, prefetch=1)
    async def handle(body: bytes, meta: EventMeta) -> None:
        raise PermanentError("never")

    await broker.start()
    before = counted(TELEMETRY, "TypeError")
    await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", b"{}")
    dead = await messaging.take(f"{TELEMETRY}.dlq")
    assert (dead.headers["x-dead-reason"], dead.headers["x-error-class"]) == ("unsettled", "TypeError")
    assert dead.body == b"{}"
    assert counted(TELEMETRY, "TypeError") == before + 1
    assert broker.settles


def counted(queue: str, cause: str) -> float:
    return REGISTRY.get_sample_value("laundry_events_unsettled_total", {"queue": queue, "cause": cause}) or 0


@pytest.mark.servers
async def test_full_dead_letters_of_our_own_let_what_dies_wait_and_the_good_pass(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging
) -> None:
    dead, prefetch = f"{READ}.dlq", 2
    await limit(messaging, dead, **{"max-length": 1})
    seen: list[str] = []

    @consume(broker, publisher).on(READ, TaskRead, prefetch=prefetch)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        if event.task_id.startswith("bad"):
            raise PermanentError("never")
        seen.append(event.task_id)

    before = counted(READ, "dead-letters-full")
    await broker.start()
    bad = 3 * prefetch
    for number in range(bad):
        await publisher.publish(reading(f"bad{number}"))
    for number in range(5):
        await publisher.publish(reading(f"good{number}"))
    await eventually(lambda: len(seen) == 5, what="the good behind a window full of dead ones")
    assert counted(READ, "dead-letters-full") > before
    assert broker.settles
    await limit(messaging, dead, **{"max-length": 100})

    async def all_there() -> bool:
        return await messaging.count(dead) == bad

    await eventually(all_there, what="what waited for room")


@pytest.mark.servers
async def test_dead_letters_that_one_device_fills_stop_nobody(
    broker: ConsumingBroker, publisher: Publisher, messaging: Messaging
) -> None:
    dead, bytes_, flood = f"{TELEMETRY}.dlq", 200_000, 60
    assert PLAN.queue(TELEMETRY).untrusted
    await limit(messaging, dead, **{"max-length-bytes": bytes_})
    seen: list[bytes] = []

    @consume(broker, publisher).on_raw(TELEMETRY, prefetch=5)
    async def handle(body: bytes, meta: EventMeta) -> None:
        if not body.startswith(b"good"):
            raise PermanentError("no sample", reason="malformed-json")
        seen.append(body)

    await broker.start()
    async with messaging.channel() as channel:
        exchange = await channel.get_exchange(TELEMETRY_EXCHANGE, ensure=False)
        for number in range(flood):
            await exchange.publish(message(b"%03d" % number + b"{" * 20_000), "telemetry.hostile")
            await exchange.publish(message(b"good%03d" % number), "telemetry.washer-1")
    await eventually(lambda: len(seen) == flood, what="the samples of others")

    async def kept() -> int:
        return await messaging.count(dead)

    await eventually(kept, what="dead letters")
    newest = b"%03d" % (flood - 1)

    async def newest_is_there() -> bool:
        async with messaging.channel() as channel:
            queue = await channel.get_queue(dead, ensure=False)
            held = [await queue.get(fail=False) for _ in range(await messaging.count(dead))]
            return any(each is not None and each.body.startswith(newest) for each in held)

    await eventually(newest_is_there, what="the newest of them")
    # Those that were looked at go back a moment after their channel has closed.
    await eventually(kept, what="dead letters once more")
    assert await kept() <= bytes_ // 20_000


def message(body: bytes) -> Any:
    import aio_pika

    return aio_pika.Message(body, delivery_mode=2)


# --- what is in flight, by the clock


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(in_flight, "time", clock)
    return clock


def test_the_oldest_message_in_hand_is_shown_and_held_ones_apart(clock: Clock) -> None:
    hands = InFlight()
    hands.watch("q", window=5)
    with hands.taken("q"):
        clock.now += 70
        assert (hands.oldest_s("q", held=False), hands.oldest_s("q", held=True)) == (70, 0)
        with held():
            assert (hands.oldest_s("q", held=False), hands.oldest_s("q", held=True)) == (0, 70)
        value: Callable[..., Any] = REGISTRY.get_sample_value
        labels = {"queue": "q", "state": "handled"}
        assert value("laundry_consumer_oldest_unacked_seconds", labels) == 70
    assert hands.oldest_s("q", held=False) == 0


def test_a_consumer_whose_window_is_stuck_settles_nothing_and_one_stuck_message_is_no_such_case(
    clock: Clock,
) -> None:
    hands = InFlight()
    hands.watch("q", window=2)

    def settles() -> bool:
        return hands.settles

    with hands.taken("q"):
        clock.now += in_flight.STUCK_S + 1
        assert settles()
        with hands.taken("q"):
            assert settles()
            clock.now += in_flight.STUCK_S + 1
            assert not settles()
            with held():
                assert settles()
    assert settles()


def test_a_failed_message_that_only_goes_back_is_noticed_until_it_no_longer_does(clock: Clock) -> None:
    hands = InFlight()
    hands.watch("q", window=2)
    for _ in range(int(in_flight.STUCK_S) + 2):
        hands.unsettled("q")
        clock.now += 1
    assert (hands.settles, hands.returning_s("q") > in_flight.STUCK_S) == (False, True)
    clock.now += in_flight.OVER_S + 1
    assert hands.settles
    hands.unsettled("q")
    clock.now += in_flight.OVER_S - 1
    assert hands.returning_s("q") > 0
    hands.settled("q")
    assert hands.returning_s("q") == 0
