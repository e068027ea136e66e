"""One frame for many acknowledgements says nothing of what is still in hand."""

import asyncio
from typing import Any

import pytest
from aiormq.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from laundry_events.acknowledgements import Acknowledgements


class Broker:
    """What a channel has delivered, settled as RabbitMQ does it."""

    def __init__(self) -> None:
        self.delivered: list[int] = []
        self.unsettled: set[int] = set()
        self.acknowledged: set[int] = set()
        self.returned: set[int] = set()
        self.frames: list[tuple[int, bool]] = []
        self.is_closed = False
        self.reads = asyncio.Event()
        self.reads.set()

    def deliver(self) -> int:
        tag = len(self.delivered) + 1
        self.delivered.append(tag)
        self.unsettled.add(tag)
        return tag

    async def basic_ack(self, tag: int, multiple: bool = False) -> None:
        await self._write()
        assert tag in self.unsettled, "an unknown delivery tag closes the channel"
        meant = {each for each in self.unsettled if each <= tag} if multiple else {tag}
        self.unsettled -= meant
        self.acknowledged |= meant
        self.frames.append((tag, multiple))

    async def basic_nack(self, tag: int, *, requeue: bool) -> None:
        assert requeue
        await self._write()
        assert tag in self.unsettled, "an unknown delivery tag closes the channel"
        self.unsettled.remove(tag)
        self.returned.add(tag)

    async def _write(self) -> None:
        if self.is_closed:
            raise ChannelInvalidStateError("closed")
        await self.reads.wait()


def taking(number: int) -> tuple[Broker, Acknowledgements]:
    broker: Any = Broker()
    acknowledgements = Acknowledgements(broker)
    for _ in range(number):
        acknowledgements.took(broker.deliver())
    return broker, acknowledgements


async def test_what_is_ready_together_is_acknowledged_with_one_frame() -> None:
    broker, acknowledgements = taking(100)
    await asyncio.gather(*(acknowledgements.ack(tag) for tag in range(1, 101)))
    assert broker.frames == [(100, True)]
    assert all(acknowledgements.is_settled(tag) for tag in broker.delivered)


async def test_one_alone_is_acknowledged_alone() -> None:
    broker, acknowledgements = taking(1)
    await acknowledgements.ack(1)
    assert broker.frames == [(1, False)]


async def test_one_that_failed_in_the_middle_is_not_acknowledged_with_its_neighbours() -> None:
    broker, acknowledgements = taking(6)
    await asyncio.gather(*(acknowledgements.ack(tag) for tag in (6, 1, 2, 5)))
    assert broker.frames == [(2, True), (5, False), (6, False)]
    assert broker.unsettled == {3, 4}
    await acknowledgements.nack(3)
    assert broker.returned == {3}
    acknowledgements.took(broker.deliver())
    await asyncio.gather(acknowledgements.ack(4), acknowledgements.ack(7))
    assert broker.frames[3:] == [(7, True)]
    assert broker.acknowledged == {1, 2, 4, 5, 6, 7}


async def test_what_is_on_its_way_back_is_not_acknowledged_with_others() -> None:
    broker, acknowledgements = taking(3)
    broker.reads.clear()
    returning = asyncio.create_task(acknowledgements.nack(1))
    await asyncio.sleep(0)
    ready = [asyncio.create_task(acknowledgements.ack(tag)) for tag in (2, 3)]
    await asyncio.sleep(0)
    broker.reads.set()
    await asyncio.gather(returning, *ready)
    assert (broker.returned, broker.acknowledged) == ({1}, {2, 3})


async def test_where_the_channel_delivered_to_others_too_each_is_acknowledged_alone() -> None:
    broker, acknowledgements = taking(1)
    broker.deliver()  # to another consumer of the channel
    for _ in range(2):
        acknowledgements.took(broker.deliver())
    await asyncio.gather(*(acknowledgements.ack(tag) for tag in (1, 3, 4)))
    assert broker.frames == [(1, False), (3, False), (4, False)]
    assert broker.unsettled == {2}


async def test_what_is_ready_while_others_are_written_is_the_next_frame() -> None:
    broker, acknowledgements = taking(5)
    broker.reads.clear()
    first = [asyncio.create_task(acknowledgements.ack(tag)) for tag in (1, 2)]
    await asyncio.sleep(0.01)
    second = [asyncio.create_task(acknowledgements.ack(tag)) for tag in (3, 4, 5)]
    await asyncio.sleep(0.01)
    broker.reads.set()
    await asyncio.gather(*first, *second)
    assert broker.frames == [(2, True), (5, True)]


async def test_who_gives_up_waiting_takes_nobody_along() -> None:
    broker, acknowledgements = taking(2)
    broker.reads.clear()
    given_up, other = (asyncio.create_task(acknowledgements.ack(tag)) for tag in (1, 2))
    await asyncio.sleep(0.01)
    given_up.cancel()
    broker.reads.set()
    await other
    assert broker.acknowledged == {1, 2}


async def test_on_a_channel_that_closes_each_is_told_and_none_is_settled() -> None:
    broker, acknowledgements = taking(4)
    await acknowledgements.ack(1)
    broker.is_closed = True
    told = await asyncio.gather(*(acknowledgements.ack(tag) for tag in (2, 3)), return_exceptions=True)
    assert [type(each) for each in told] == [ChannelInvalidStateError] * 2
    with pytest.raises(ChannelInvalidStateError):
        await acknowledgements.nack(4)
    assert [acknowledgements.is_settled(tag) for tag in (1, 2, 3, 4)] == [True, False, False, False]


async def test_a_library_that_cancels_what_it_writes_leaves_nobody_waiting() -> None:
    broker, acknowledgements = taking(2)

    async def cancelled(tag: int, multiple: bool = False) -> None:
        raise asyncio.CancelledError

    broker.basic_ack = cancelled  # type: ignore[method-assign]
    told = await asyncio.gather(*(acknowledgements.ack(tag) for tag in (1, 2)), return_exceptions=True)
    assert all(isinstance(each, Exception) for each in told)


async def test_nothing_is_acknowledged_twice() -> None:
    _, acknowledgements = taking(1)
    await acknowledgements.ack(1)
    with pytest.raises(RuntimeError, match="settled already"):
        await acknowledgements.ack(1)


steps = st.lists(
    st.sampled_from(("deliver", "deliver", "deliver elsewhere", "ack", "ack", "ack", "nack", "turn")),
    max_size=80,
)


@given(steps, st.randoms(use_true_random=False))
def test_whatever_the_order_the_broker_hears_of_each_what_became_of_it(said: list[str], chance: Any) -> None:
    async def play() -> None:
        broker, acknowledgements = taking(0)
        in_hand, done, back = list[int](), set[int](), set[int]()
        running = list[asyncio.Task[None]]()
        for step in said:
            match step:
                case "deliver":
                    tag = broker.deliver()
                    acknowledgements.took(tag)
                    in_hand.append(tag)
                case "deliver elsewhere":
                    broker.deliver()
                case "turn":
                    await asyncio.sleep(0)
                case _ if in_hand:
                    tag = in_hand.pop(chance.randrange(len(in_hand)))
                    (done if step == "ack" else back).add(tag)
                    settle = acknowledgements.ack if step == "ack" else acknowledgements.nack
                    running.append(asyncio.create_task(settle(tag)))
        await asyncio.gather(*running)
        assert (broker.acknowledged, broker.returned) == (done, back)
        assert [acknowledgements.is_settled(tag) for tag in in_hand] == [False] * len(in_hand)

    asyncio.run(play())
