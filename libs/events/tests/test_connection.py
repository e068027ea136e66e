"""A process that is stopped while the broker is away ends."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from aiormq.exceptions import AMQPConnectionError

from laundry_events import Publisher, make_broker


@pytest.fixture(params=["refuses", "is silent"])
def absent(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a broker that refuses, or takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "refuses":
            listener.close()
        yield f"amqp://nobody:nothing@127.0.0.1:{port}/"


def left_behind(before: set["asyncio.Task[object]"]) -> set["asyncio.Task[object]"]:
    return asyncio.all_tasks() - before


async def test_a_publisher_that_never_connected_leaves_nothing_running(absent: str) -> None:
    before = asyncio.all_tasks()
    publisher = Publisher(absent, source="tests", timeout_s=60)
    await publisher.start()
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        await publisher.stop()
    assert not left_behind(before)


async def test_a_consumer_that_never_connected_leaves_nothing_running(absent: str) -> None:
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(make_broker(absent, service="tests").connect())
    await asyncio.sleep(0.1)
    connecting.cancel()
    async with asyncio.timeout(20):
        with contextlib.suppress(asyncio.CancelledError, AMQPConnectionError):
            await connecting
    assert not left_behind(before)
