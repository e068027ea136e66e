"""Requests and their answers: at most once, to who asked, within the time that it waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import aio_pika
import pytest
import pytest_asyncio

from laundry_events import (
    BrokerUnavailable,
    NoAnswer,
    Publisher,
    Refused,
    Requester,
    Unroutable,
    make_broker,
    requests,
)
from laundry_events.broker import ConsumingBroker
from laundry_events.plan import REPLIES_EXCHANGE
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

QUEUE = "photo.preview"


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Requester]:
    publisher = Publisher(url, source="helper")
    requester = Requester(publisher, service="helper")
    await publisher.wait_connected()
    await requester.start()
    await listening(requester)
    yield requester
    await requester.stop()
    await publisher.stop()


@pytest_asyncio.fixture
async def requester(messaging: Messaging) -> AsyncIterator[Requester]:
    """Asks with the rights that helper has."""
    async with messaging.user("helper") as url, asking(url) as found:
        yield found


async def listening(requester: Requester) -> None:
    """Wait until an answer would arrive: after three silences the requester listens anew."""
    await eventually(lambda: requester.ready and not requester._anew.is_set(), what="a queue for answers")


async def ask(requester: Requester, body: bytes, *, within_s: float = 20, branch: str = "b1") -> bytes:
    headers = {"branch-id": branch}
    return await requester.ask(
        QUEUE, body, headers=headers, content_type="application/octet-stream", within_s=within_s
    )


async def test_each_asker_has_its_own_answer_with_the_rights_of_the_services(
    messaging: Messaging, requester: Requester
) -> None:
    async with messaging.user("ai-consumer") as url, asking(messaging.amqp_url) as other:
        answering = Publisher(url, source="ai-consumer")
        await answering.wait_connected()
        broker = make_broker(url, service="ai-consumer", graceful_timeout_s=2)

        @consume(broker, answering).on_request(QUEUE, prefetch=4)
        async def on_request(body: bytes, headers: Mapping[str, Any]) -> bytes:
            # The first one is answered last.
            await asyncio.sleep(0.3 if body == b"0" else 0)
            return body + str(headers["branch-id"]).encode()

        await broker.start()
        try:
            answers = await asyncio.gather(
                *(
                    ask(each, str(n).encode(), branch=f"-b{n}")
                    for n in range(5)
                    for each in (requester, other)
                )
            )
            assert answers == [f"{n}-b{n}".encode() for n in range(5) for _ in range(2)]
            with pytest.raises(BrokerUnavailable):
                # Its rights end there: no other queue, and not through the default exchange.
                await answering.send("", QUEUE, body=b"x", headers={}, message_id=None)
        finally:
            await broker.stop()
            await answering.stop()


async def expired(messaging: Messaging) -> None:
    async def gone() -> bool:
        return await messaging.count(QUEUE) == 0

    await eventually(gone, what="what nobody waits for any more is gone")


async def test_nobody_answers_and_it_is_over_in_time_and_leaves_nothing(
    messaging: Messaging, requester: Requester, publisher: Publisher, broker: ConsumingBroker
) -> None:
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        await ask(requester, b"x", within_s=0.5)
    assert time.monotonic() - began >= 0.5
    # Its time counts from when the broker took it, which is later by what a first connection takes.
    await expired(messaging)
    seen: list[bytes] = []
    consumer = consume(broker, publisher)

    @consumer.on_request(QUEUE, prefetch=1)
    async def on_request(body: bytes, _: Mapping[str, Any]) -> bytes:
        seen.append(body)
        if body.startswith(b"fails"):
            raise RuntimeError("cannot")
        return body

    await broker.start()
    # What nobody waits for any more is not handled, and one that fails has no answer and is not tried again.
    failing = (b"fails %d" % number for number in count())
    while not seen:  # one may expire before it is taken
        await listening(requester)
        with pytest.raises(NoAnswer):
            await ask(requester, next(failing), within_s=1)
    await listening(requester)
    assert await ask(requester, b"well") == b"well"
    *failed, well = seen
    assert well == b"well"
    assert all(body.startswith(b"fails") for body in failed), failed
    assert len(set(failed)) == len(failed)


async def test_who_answers_slowly_works_for_few_that_have_left(
    messaging: Messaging, requester: Requester, publisher: Publisher, broker: ConsumingBroker
) -> None:
    seen: list[bytes] = []
    go_on = asyncio.Event()

    @consume(broker, publisher).on_request(QUEUE, prefetch=1)
    async def on_request(body: bytes, _: Mapping[str, Any]) -> bytes:
        seen.append(body)
        await go_on.wait()
        return body

    await broker.start()
    # One is in hand and one waits beside it; the others expire in the queue.
    asked = [ask(requester, b"%d" % number, within_s=1) for number in range(20)]
    assert {type(each) for each in await asyncio.gather(*asked, return_exceptions=True)} == {NoAnswer}
    await expired(messaging)
    go_on.set()

    async def answers() -> bool:
        # After so much silence the requester has begun to listen anew.
        with suppress(NoAnswer, BrokerUnavailable):
            return await ask(requester, b"well", within_s=1) == b"well"
        return False

    await eventually(answers, what="an answer")
    assert len([body for body in seen if body != b"well"]) <= 3


async def test_more_than_may_wait_are_refused(messaging: Messaging, requester: Requester) -> None:
    async def refused() -> bool:
        await listening(requester)
        # A queue notices that it is full between two messages; what is under way by then it still takes.
        full = [asyncio.create_task(ask(requester, b"x", within_s=2)) for _ in range(60)]
        await asyncio.wait(full, timeout=1)
        further = [ask(requester, b"x", within_s=0.5) for _ in range(5)]
        ended = await asyncio.gather(*further, *full, return_exceptions=True)
        # Those that come later may find it listening anew, after so many silences.
        assert {type(each) for each in ended[5:]} <= {NoAnswer, Refused}
        assert {type(each) for each in ended[:5]} <= {NoAnswer, Refused, BrokerUnavailable}
        return any(isinstance(each, Refused) for each in ended)

    await eventually(refused, what="a refusal")


async def test_an_answer_that_nobody_waits_for_harms_nobody(
    messaging: Messaging, requester: Requester, publisher: Publisher, broker: ConsumingBroker
) -> None:
    late = asyncio.Event()

    @consume(broker, publisher).on_request(QUEUE, prefetch=4)
    async def on_request(body: bytes, _: Mapping[str, Any]) -> bytes:
        if body == b"late":
            await late.wait()
        return body

    await broker.start()
    with pytest.raises(NoAnswer):
        await ask(requester, b"late", within_s=0.5)
    late.set()
    assert await ask(requester, b"next") == b"next"
    with pytest.raises(Unroutable):
        await publisher.send(REPLIES_EXCHANGE, "helper.replies.0", body=b"", headers={}, message_id=None)


async def test_after_a_lost_connection_or_three_silences_answers_arrive_again(
    messaging: Messaging, publisher: Publisher, broker: ConsumingBroker
) -> None:
    @consume(broker, publisher).on_request(QUEUE, prefetch=4)
    async def on_request(body: bytes, _: Mapping[str, Any]) -> bytes:
        if body == b"silence":
            raise RuntimeError("nothing to say")
        return body

    await broker.start()
    async with asking(messaging.amqp_url) as requester:
        first = requester._address
        for _ in range(3):
            with pytest.raises(NoAnswer):
                await ask(requester, b"silence", within_s=0.3)
        await eventually(lambda: requester.ready and requester._address != first, what="another queue")
        assert await ask(requester, b"x") == b"x"


async def test_whatever_the_library_raises_it_goes_on_listening(
    messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, errors = aio_pika.connect, [Exception("?"), StopAsyncIteration(), asyncio.CancelledError()]
    monkeypatch.setattr(requests, "RECONNECT_S", 0.01)

    async def failing(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return await connect(*arguments, **options)

    monkeypatch.setattr(aio_pika, "connect", failing)
    async with asking(messaging.amqp_url) as requester:
        assert requester.ready
        assert not errors


async def test_without_a_broker_it_says_so_at_once() -> None:
    publisher = Publisher("amqp://nobody:nothing@127.0.0.1:1/", source="helper")
    requester = Requester(publisher, service="helper")
    await requester.start()
    with pytest.raises(BrokerUnavailable):
        await ask(requester, b"x")
    await requester.stop()
