"""A connection that carries nothing any more, a consumer that the broker ends, a broker that is blocked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiormq
import pytest
import pytest_asyncio
from aiormq.abc import AbstractConnection
from pamqp.commands import Connection

from laundry_events import (
    BrokerUnavailable,
    EventMeta,
    Publisher,
    Requester,
    connection,
    make_broker,
    partition_watch,
    republisher,
)
from laundry_events.connection import transport_of
from laundry_events.events import TaskRead
from laundry_events.plan import DEAD_EXCHANGE
from laundry_events.republisher import Republisher
from laundry_testing.events import reading
from laundry_testing.logs import logged_by
from laundry_testing.messaging import DEADLINE_S, Messaging, apply_plan, eventually

from .consuming import consume

pytestmark = pytest.mark.servers


class Wire:
    """A TCP connection to the broker that can go dead: nothing passes, and nobody is told."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._dead: set[asyncio.StreamWriter] = set()
        self._reads = asyncio.Event()
        self._reads.set()
        self.connections = 0
        self.url = ""

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._target.netloc.rsplit("@", 1)[0]
        self.url = urlunsplit(self._target._replace(netloc=f"{login}@127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    def go_dead(self) -> None:
        """Lose everything that is sent on the connections there are; later ones work."""
        self._dead.update(self._writers)

    def stop_reading(self) -> None:
        """Take nothing more of what is sent to the broker, as a node under flow control."""
        self._reads.clear()

    def cut(self) -> None:
        """End the connections there are, as a broker that restarts does."""
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers += [writer, back]
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(reader, back))
            both.create_task(self._pass_on(there, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._reads.wait()
                if writer not in self._dead:
                    writer.write(data)
                    await writer.drain()
            if writer not in self._dead:
                writer.close()


@pytest_asyncio.fixture
async def wire(messaging: Messaging) -> AsyncIterator[Wire]:
    async with Wire(messaging.amqp_url) as wire:
        yield wire


@asynccontextmanager
async def taking(url: str, publisher: Publisher) -> AsyncIterator[list[str]]:
    """Consume readings; gives the ids of the tasks that were taken."""
    broker = make_broker(url, service="tests", graceful_timeout_s=1)
    consumer = consume(broker, publisher)
    got: list[str] = []

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def take(event: TaskRead, meta: EventMeta) -> None:
        got.append(event.task_id)

    await broker.start()
    try:
        yield got
    finally:
        await broker.stop()


async def test_a_publisher_leaves_a_connection_over_which_nothing_is_confirmed(wire: Wire) -> None:
    publisher = Publisher(wire.url, source="tests", timeout_s=DEADLINE_S, stalled_s=DEADLINE_S)
    await publisher.wait_connected()
    await publisher.publish(reading("t1"))
    wire.go_dead()
    publisher.timeout_s = publisher.stalled_s = 0.5
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(reading("t2"))
    # Longer than a confirm or a connection takes on a busy machine: the second one is to be the last.
    publisher.timeout_s = publisher.stalled_s = DEADLINE_S

    async def published() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            await publisher.publish(reading("t3"))
            return True
        return False

    await eventually(published, what="a publish over another connection")
    assert wire.connections == 2
    await publisher.stop()


async def test_whoever_waits_on_a_connection_that_is_left_is_told(wire: Wire) -> None:
    publisher = Publisher(wire.url, source="tests", timeout_s=DEADLINE_S)
    await publisher.wait_connected()
    wire.go_dead()
    publisher.timeout_s, publisher.stalled_s = 1, 0.5
    waiting = []
    for number in range(10):
        waiting.append(asyncio.create_task(publisher.publish(reading(f"t{number}"))))
        await asyncio.sleep(0.1)  # so that most still wait when the first gives up
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in told if not isinstance(each, str)} == {BrokerUnavailable}
    await publisher.stop()


@pytest.mark.parametrize("opening", [False, True], ids=["while it is open", "while it is restored"])
async def test_a_connection_that_ends_while_the_broker_blocks_it_is_made_anew(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, opening: bool
) -> None:
    publisher = Publisher(wire.url, source="tests", timeout_s=DEADLINE_S, stalled_s=DEADLINE_S)
    await publisher.wait_connected()
    await publisher.publish(reading("t1"))
    assert publisher._connection is not None and publisher._channel is not None

    async def block() -> None:
        held: Any = transport_of(publisher._connection)  # type: ignore[arg-type]
        # As an alarm of the broker's memory; that of the tests' broker would stop everybody's.
        await held._Connection__handle_connection_blocked(Connection.Blocked("low on memory"))

    await block()
    if opening:
        channel: Any = await publisher._channel.get_underlay_channel()
        await channel.close(RuntimeError("so that it is restored, for which the broker has to be ready"))
        await asyncio.sleep(0.1)
    wire.cut()

    async def published() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            await publisher.publish(reading("t2"))
            return True
        return False

    publisher.timeout_s = publisher.stalled_s = 2
    await eventually(published, what="a publish over another connection")
    await publisher.stop()


async def test_a_node_that_reads_nothing_is_left_within_seconds(wire: Wire) -> None:
    connected = await aiormq.connect(wire.url)
    channel = await connected.channel()
    wire.stop_reading()
    sending = [
        asyncio.create_task(channel.basic_publish(b"x" * 60_000, routing_key="nobody")) for _ in range(300)
    ]
    await asyncio.sleep(0.5)  # so that nothing more fits into what lies between
    async with asyncio.timeout(DEADLINE_S):
        await connection.abandon(connected, "it reads nothing")
        await asyncio.wait((connected.closing,))
    for each in sending:
        each.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


@pytest.mark.parametrize("how", ["cut", "go_dead"])
async def test_copies_go_over_another_connection_when_theirs_is_gone(
    wire: Wire, messaging: Messaging, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    copies = Republisher(Publisher(wire.url, source="tests"))

    async def sent() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            await copies.send(
                DEAD_EXCHANGE, "task.read.dlq", body=b"", headers={}, message_id="m", content_type=None
            )
            return True
        return False

    assert await sent()
    getattr(wire, how)()
    if how == "go_dead":
        monkeypatch.setattr(republisher, "TIMEOUT_S", 0.5)
        assert not await sent()
        monkeypatch.setattr(republisher, "TIMEOUT_S", DEADLINE_S)
    await eventually(sent, what="a copy over another connection")
    assert wire.connections == 2
    assert await messaging.count("task.read.dlq") == 2
    await copies.stop()


@pytest.mark.parametrize("how", ["cut", "go_dead"])
async def test_answers_are_awaited_over_another_connection_when_theirs_is_gone(
    wire: Wire, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(publisher, "_url", wire.url)
    if how == "go_dead":
        monkeypatch.setattr(connection, "HEARTBEAT_S", 1)
    requester = Requester(publisher, service="helper")
    await requester.start()
    await eventually(lambda: requester.ready, what="a queue for answers")
    before = requester._address
    getattr(wire, how)()
    await eventually(
        lambda: requester.ready and requester._address != before, what="a queue over another connection"
    )
    assert wire.connections == 2
    await requester.stop()


async def test_a_handler_whose_own_call_was_cancelled_has_failed_like_any_other(
    messaging: Messaging, publisher: Publisher
) -> None:
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=1)
    consumer = consume(broker, publisher)
    attempts: list[int] = []

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def take(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        if meta.attempt == 1:
            raise asyncio.CancelledError

    await broker.start()
    await publisher.publish(reading("t1"))
    # Only by way of a retry queue does it come as a second attempt; it waits there for a second.
    await eventually(lambda: attempts == [1, 2], what="the first retry")
    await broker.stop()


@pytest.fixture
def short_heartbeat(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(connection, "HEARTBEAT_S", 1)
    monkeypatch.setattr(partition_watch, "LOOK_EVERY_S", 1000)
    yield


@pytest.mark.usefixtures("short_heartbeat")
async def test_a_consumer_notices_a_dead_connection_by_its_heartbeat(
    wire: Wire, publisher: Publisher
) -> None:
    async with taking(wire.url, publisher) as got:
        await publisher.publish(reading("before"))
        await eventually(lambda: "before" in got, what="the first message")
        wire.go_dead()
        await publisher.publish(reading("after"))
        await eventually(lambda: "after" in got, within_s=30, what="a message over another connection")


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_watch, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(partition_watch, "OLDER_PLAN_S", 0.2)
    monkeypatch.setattr(partition_watch, "STALLED_S", 2.0)


def note_answers(monkeypatch: pytest.MonkeyPatch) -> list[bool | None]:
    answers: list[bool | None] = []
    ask = partition_watch.PartitionWatch._answers

    async def noted(
        watch: partition_watch.PartitionWatch, connection: AbstractConnection, within_s: float
    ) -> bool | None:
        answers.append(await ask(watch, connection, within_s))
        return answers[-1]

    monkeypatch.setattr(partition_watch.PartitionWatch, "_answers", noted)
    return answers


@pytest.mark.usefixtures("short_patience")
async def test_a_consumer_leaves_a_node_that_takes_no_writes(
    wire: Wire, messaging: Messaging, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = note_answers(monkeypatch)
    async with taking(wire.url, publisher) as got:
        await publisher.publish(reading("before"))
        await eventually(lambda: "before" in got, what="the first message")
        # Longer than its patience of ten looks.
        await eventually(lambda: len(answers) >= 12, what="a dozen answers")
        assert wire.connections == 1 or not all(answers), "a node that answers is not left"
        before = wire.connections
        wire.go_dead()
        # The heartbeat, 10 s, would notice after 26 s at the soonest.
        await eventually(lambda: wire.connections > before, within_s=20, what="another connection")

        async def subscribed() -> bool:
            # Two until the broker has noticed the first's end; what it gave to that comes again then.
            return "after" in got or await messaging.consumers("task.read") >= 2

        await publisher.publish(reading("after"))
        await eventually(subscribed, what="a consumer on it")


@pytest.mark.usefixtures("short_patience")
async def test_a_consumer_goes_on_where_the_broker_has_an_older_plan_and_asks_once_it_has_this_one(
    messaging: Messaging, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = note_answers(monkeypatch)
    async with messaging.channel() as channel:
        await channel.exchange_delete("laundry.alive", timeout=10)
    with logged_by("laundry_events.partition_watch") as logged:
        async with taking(messaging.amqp_url, publisher) as got:
            await eventually(
                lambda: [each for each in logged if "apply the topology" in each["event"]], what="the advice"
            )
            await publisher.publish(reading("t1"))
            await eventually(lambda: "t1" in got, what="the message")
            await asyncio.to_thread(apply_plan, messaging.broker, messaging.vhost)
            await eventually(lambda: True in answers, what="an answer")


@pytest.mark.usefixtures("short_patience")
async def test_a_services_own_user_may_ask(messaging: Messaging, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = note_answers(monkeypatch)
    async with messaging.user("helper") as url:
        broker = make_broker(url, service="tests", graceful_timeout_s=1)
        with logged_by("laundry_events.partition_watch") as logged:
            await broker.start()
            await eventually(lambda: True in answers, what="an answer")
            await broker.stop()
    assert not [each for each in logged if "apply the topology" in each["event"]]


async def test_a_consumer_that_the_broker_cancels_subscribes_again(
    messaging: Messaging, publisher: Publisher
) -> None:
    async with taking(messaging.amqp_url, publisher) as got:
        await publisher.publish(reading("before"))
        await eventually(lambda: got == ["before"], what="the first message")
        async with messaging.channel() as channel:
            await channel.queue_delete("task.read", timeout=10)
        await asyncio.to_thread(apply_plan, messaging.broker, messaging.vhost)

        async def consumed() -> int:
            return await messaging.consumers("task.read")

        await eventually(consumed, within_s=30, what="a consumer of the new queue")
        await publisher.publish(reading("after"))
        await eventually(lambda: "after" in got, what="a message from the new queue")


async def test_a_message_that_is_too_large_dies_at_once(messaging: Messaging, publisher: Publisher) -> None:
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=1)
    consumer = consume(broker, publisher)

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def take(event: TaskRead, meta: EventMeta) -> None:
        raise AssertionError("must not be handled")

    await broker.start()
    await messaging.publish_raw("laundry.events", "task.read", b" " * (64 * 1024 + 1), message_id="large")
    letter = await messaging.take("task.read.dlq")
    assert (letter.message_id, letter.headers["x-attempts"]) == ("large", 1)
    assert "65537 bytes" in str(letter.headers["x-error-message"])
    await broker.stop()
