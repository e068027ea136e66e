"""A service begins to consume however often its connection goes meanwhile, and stops in the middle of it."""

import asyncio
from typing import Any

import httpx
import pytest

from laundry_events import in_flight, make_broker
from laundry_events.broker import ConsumingBroker
from laundry_service.app import make_app
from laundry_service.messaging.lifecycle import ConsumerLifecycle
from laundry_service.messaging.signing import message_signer
from laundry_service.messaging.wiring import Messaging
from laundry_service.settings import ServiceSettings


class Faststream:
    """Stands in for the app whose start waits on a connection."""

    def __init__(self, *, goes: int = 0, waits: bool = False) -> None:
        self._goes = goes
        self._waits = waits
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self._waits:
            await asyncio.Event().wait()
        if self.starts <= self._goes:
            # What the library throws into whoever waits on a connection that goes.
            raise asyncio.CancelledError

    async def stop(self) -> None:
        pass


def consuming(faststream: Faststream) -> tuple[ConsumerLifecycle, list[str]]:
    broker: Any = make_broker("amqp://nobody:nothing@127.0.0.1:9/", service="tests")
    part, stopped = ConsumerLifecycle(broker), []

    async def stop() -> None:
        stopped.append("broker")

    broker.stop = stop
    part.faststream = faststream  # type: ignore[assignment]
    return part, stopped


async def test_a_connection_that_goes_while_it_subscribes_is_no_end() -> None:
    faststream = Faststream(goes=1)
    part, stopped = consuming(faststream)
    await part.start()
    async with asyncio.timeout(30):
        while not part.started:
            await asyncio.sleep(0.01)
    assert (faststream.starts, stopped) == (2, ["broker"])
    await part.stop()


async def test_a_start_that_is_under_way_is_given_up_and_cleared_away() -> None:
    faststream = Faststream(waits=True)
    part, stopped = consuming(faststream)
    await part.start()
    async with asyncio.timeout(30):
        while not faststream.starts:
            await asyncio.sleep(0.01)
        await part.stop()
    assert stopped == ["broker"]
    assert not part.started


async def test_a_consumer_that_settles_nothing_is_not_ready_and_one_that_is_held_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = ServiceSettings(
        service_name="tests", amqp_url="amqp://127.0.0.1:9/", jwks_url="http://127.0.0.1:9/", jwt_issuer="x"
    )
    messaging = Messaging(settings, service="tests", version="1")
    broker = messaging.consumer.broker
    assert isinstance(broker, ConsumingBroker)
    assert broker.in_flight is not None
    broker.in_flight.watch("q", window=1)
    app = make_app(
        settings, title="t", version="1", description="t", messaging=messaging, ready_without_broker=True
    )
    transport = httpx.ASGITransport(app)
    monkeypatch.setattr(in_flight, "STUCK_S", 0.0)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def ready() -> tuple[int, str]:
            answer = await client.get("/readyz")
            return answer.status_code, answer.json()["checks"]["settling messages"]

        with broker.in_flight.taken("q"):
            assert await ready() == (503, "failed")
            with in_flight.held():
                assert await ready() == (200, "ok")
        monkeypatch.setattr(in_flight, "STUCK_S", 60.0)
        assert await ready() == (200, "ok")


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_key_is_none_and_a_short_one_is_refused(empty: str | None) -> None:
    given: dict[str, Any] = {
        "service_name": "t",
        "amqp_url": "amqp://x/",
        "jwks_url": "http://x/",
        "jwt_issuer": "x",
    }
    settings = ServiceSettings(**given, letter_key=empty, letters_unsigned_until=empty)
    assert message_signer(settings)._keys == []
    with pytest.raises(ValueError, match="32"):
        message_signer(ServiceSettings(**given, letter_key="short"))
