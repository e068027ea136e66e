"""What an upgrade of FastStream or aiormq could move without a word is noticed before a service starts."""

from importlib.metadata import version
from typing import Any

import aio_pika
import aiormq
import pytest
from aiormq.connection import Connection
from faststream.rabbit import RabbitBroker
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from laundry_events import make_broker
from laundry_events.connection import connection_url
from laundry_events.libraries import UnsupportedLibrary, require
from laundry_events.publisher import _is_ready
from laundry_testing.messaging import Messaging

NOWHERE = "amqp://nobody:nothing@127.0.0.1:9/"
FASTSTREAM = rf"faststream {version('faststream')}"


@pytest.mark.parametrize("name", ["_queue_obj", "_consumer_tag"])
def test_a_subscriber_whose_consumer_cannot_be_cancelled_is_no_subscriber(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(RabbitSubscriber, name)
    with pytest.raises(UnsupportedLibrary, match=rf"{FASTSTREAM} has no RabbitSubscriber.{name}"):
        make_broker(NOWHERE, service="tests")


def test_a_broker_that_keeps_no_arguments_of_its_connection_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = RabbitBroker.__init__

    def without(self: RabbitBroker, *arguments: Any, **keywords: Any) -> None:
        make(self, *arguments, **keywords)
        del self._connection_kwargs

    monkeypatch.setattr(RabbitBroker, "__init__", without)
    with pytest.raises(UnsupportedLibrary, match=FASTSTREAM):
        make_broker(NOWHERE, service="tests")


@pytest.mark.servers
async def test_a_broker_that_connects_in_its_own_way_does_not_start(
    messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = aio_pika.connect_robust

    async def as_it_likes(*arguments: Any, connection_class: Any = None, **keywords: Any) -> Any:
        return await connect(*arguments, **keywords)

    monkeypatch.setattr("faststream.rabbit.broker.broker.connect_robust", as_it_likes)
    broker = make_broker(messaging.amqp_url, service="tests")
    with pytest.raises(UnsupportedLibrary, match=f"{FASTSTREAM} connects with RobustConnection"):
        await broker.start()
    await broker.stop()


async def test_a_dead_connection_is_given_up_after_2_4_heartbeats() -> None:
    connection: Any = Connection(connection_url(NOWHERE, name="tests"))
    assert connection._Connection__heartbeat_grace_timeout == pytest.approx(2.4 * 11)


async def test_a_connection_that_an_alarm_holds_back_is_not_ready() -> None:
    connection: Any = Connection(NOWHERE)
    connection.connected.set()
    assert not _is_ready(connection)
    await connection._Connection__handle_connection_unblocked(aiormq.spec.Connection.Unblocked())
    assert _is_ready(connection)
    await connection._Connection__handle_connection_blocked(aiormq.spec.Connection.Blocked("memory"))
    assert not _is_ready(connection)


def test_a_name_that_is_gone_is_told_with_the_library_and_its_version() -> None:
    with pytest.raises(UnsupportedLibrary, match=rf"aiormq {version('aiormq')} has no Connection.nothing"):
        require("aiormq", Connection, "HEARTBEAT_GRACE_MULTIPLIER", "nothing")
