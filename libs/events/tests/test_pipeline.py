"""What is published at once leaves together, and each message has its own answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pamqp.frame
import pytest
import pytest_asyncio
from aiormq import spec
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import DeliveryError, PublishError

from laundry_events import BrokerUnavailable, Publisher, Unroutable
from laundry_events.events import TaskRead
from laundry_events.frames import event_properties
from laundry_events.libraries import UnsupportedLibrary, require_made
from laundry_events.pipeline import WRITE_BYTES, Pipeline
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

NOWHERE = "amqp://nobody:nothing@127.0.0.1:9/"


class Broker:
    """The other end of a channel: reads what is written when it is asked to, and answers."""

    def __init__(self) -> None:
        self.connection: Any = Connection(NOWHERE)
        self.connection.connection_tune = spec.Connection.Tune(frame_max=4096)
        self.connection.server_properties = {"capabilities": {"publisher_confirms": True}}
        self.channel = Channel(self.connection, 1)
        self.pipeline = Pipeline(self.channel)

    def publish(self, name: str, body: bytes = b"{}") -> "asyncio.Task[None]":
        properties = event_properties({"k": "v"}, message_id=name, content_type=None, app_id="tests")
        publishing = self.pipeline.publish("e", "k", body, properties=properties, message_id=name)
        return asyncio.create_task(publishing)

    async def read(self) -> list[str]:
        """Take one write; returns the ids of its messages."""
        async with asyncio.timeout(5):
            written = await self.connection.write_queue.get()
        frames, names = written.payload, []
        while frames:
            size, _, frame = pamqp.frame.unmarshal(frames)
            frames = frames[size:]
            if isinstance(frame, pamqp.header.ContentHeader):
                names.append(str(frame.properties.message_id))
        written.drain()
        return names

    def reads_nothing(self) -> bool:
        return bool(self.connection.write_queue.empty())

    async def confirm(self, tag: int, *, multiple: bool = False) -> None:
        await self.channel._on_confirm_frame(spec.Basic.Ack(tag, multiple))


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[Broker]:
    broker = Broker()
    yield broker
    await broker.channel._cancel_tasks(ConnectionError("over"))


async def test_what_is_published_at_once_is_one_write_in_its_order(broker: Broker) -> None:
    names = [f"m{number:02}" for number in range(40)]
    waiting = [broker.publish(name) for name in names]
    assert await broker.read() == names
    await broker.confirm(39, multiple=True)
    await asyncio.gather(*waiting[:39])
    assert not waiting[39].done()
    await broker.confirm(40)
    await waiting[39]
    assert broker.channel.message_id_delivery_tag == {}
    assert broker.channel.confirmations == {}


async def test_while_the_broker_reads_nothing_the_rest_waits_and_may_be_given_up(broker: Broker) -> None:
    first = broker.publish("first")
    await asyncio.sleep(0.01)
    behind = [broker.publish(f"m{number}") for number in range(3)]
    await asyncio.sleep(0.01)
    behind[1].cancel()
    await asyncio.sleep(0.01)
    assert await broker.read() == ["first"]
    assert await broker.read() == ["m0", "m2"], "what was given up is not sent"
    await broker.confirm(3, multiple=True)
    await asyncio.gather(first, behind[0], behind[2])


async def test_what_is_given_up_after_it_was_sent_shifts_no_other_answer(broker: Broker) -> None:
    one, two, three = (broker.publish(name) for name in ("one", "two", "three"))
    await broker.read()
    two.cancel()
    await asyncio.sleep(0)
    await broker.confirm(2)
    await broker.confirm(3)
    await three
    assert not one.done()
    await broker.confirm(1)
    await one


async def test_a_write_is_no_larger_than_leaves_the_broker_something_to_do(broker: Broker) -> None:
    waiting = [broker.publish(f"m{number}", bytes(WRITE_BYTES // 4)) for number in range(6)]
    assert await broker.read() == ["m0", "m1", "m2", "m3"]
    assert await broker.read() == ["m4", "m5"]
    await broker.confirm(6, multiple=True)
    await asyncio.gather(*waiting)


async def test_each_has_its_own_answer_also_two_of_one_id(broker: Broker) -> None:
    waiting = [broker.publish(name) for name in ("a", "b", "b")]
    await broker.read()
    await broker.confirm(2)
    await waiting[1]
    await broker.channel._on_confirm_frame(spec.Basic.Nack(1))
    with pytest.raises(DeliveryError):
        await waiting[0]
    assert broker.channel.message_id_delivery_tag == {"b": 3}
    await broker.confirm(3)
    await waiting[2]
    assert broker.channel.message_id_delivery_tag == {}


async def test_all_who_wait_hear_that_the_channel_closes_sent_or_not(broker: Broker) -> None:
    sent = broker.publish("sent")
    await broker.read()
    waiting = [broker.publish(f"m{number}") for number in range(3)]
    await asyncio.sleep(0.01)
    await broker.channel._cancel_tasks(ConnectionResetError("gone"))
    told = await asyncio.gather(sent, *waiting, return_exceptions=True)
    assert {type(each) for each in told} == {ConnectionResetError}
    with pytest.raises(ConnectionError):
        await broker.publish("later")


async def test_a_channel_that_is_made_otherwise_is_refused() -> None:
    other: Any = object()
    with pytest.raises(UnsupportedLibrary, match="aiormq"):
        Pipeline(other)
    with pytest.raises(UnsupportedLibrary, match=r"sets no Channel\.tag"):
        require_made("aiormq", Channel, "delivery_tag", "tag")


@pytest.mark.servers
async def test_of_many_at_once_each_is_stored_once_in_order_and_only_the_bad_one_fails(
    messaging: Messaging, publisher: Publisher
) -> None:
    names = [f"t{number:03}" for number in range(300)]
    sends = [publisher.publish(reading(name), event_id=name) for name in names]
    nowhere = publisher.send(EVENTS_EXCHANGE, "nobody.listens", body=b"{}", headers={}, message_id="x")
    told = await asyncio.gather(*sends, nowhere, return_exceptions=True)
    assert told[:-1] == names
    assert isinstance(told[-1], Unroutable)
    assert isinstance(told[-1].__cause__, PublishError)
    async with messaging.channel() as channel:
        queue = await channel.get_queue(TaskRead.routing_key, ensure=False)
        taken = [await queue.get(no_ack=True, fail=False) for _ in range(301)]
    assert [message.message_id for message in taken if message is not None] == names


@pytest.mark.servers
async def test_a_body_of_several_frames_arrives_whole(messaging: Messaging, publisher: Publisher) -> None:
    body = bytes(range(256)) * 800
    await publisher.send(EVENTS_EXCHANGE, TaskRead.routing_key, body=body, headers={}, message_id="large")
    assert (await messaging.take(TaskRead.routing_key)).body == body


@pytest.mark.servers
async def test_a_channel_that_the_broker_closes_fails_what_was_on_it_and_is_opened_again(
    publisher: Publisher,
) -> None:
    bad = publisher.send("no.such.exchange", "k", body=b"{}", headers={}, message_id="bad")
    told = await asyncio.gather(
        bad, *(publisher.publish(reading()) for _ in range(5)), return_exceptions=True
    )
    assert {type(each) for each in told if isinstance(each, Exception)} == {BrokerUnavailable}
    assert isinstance(told[0], BrokerUnavailable)

    async def published() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            await publisher.publish(reading())
            return True
        return False

    await eventually(published, what="a publish on another channel")
