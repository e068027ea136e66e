"""Checks that a broker works: connecting, publishing, receiving."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import AMQPError, DeliveryError, ProbableAuthenticationError
from aiormq.exceptions import AuthenticationError

from laundry_servers.given import AMQP_EXAMPLE

EXPIRES_MS = 60_000


class Outcome(IntEnum):
    """What became of a check; the exit status of ``laundry check broker``."""

    WELL = 0
    NOT_REACHED = 3
    REFUSED = 4
    NOT_PUBLISHED = 5
    NOT_RECEIVED = 6


@dataclass(frozen=True, slots=True)
class Check:
    """One broker address, checked.

    Attributes:
        seconds: of connecting, publishing (until the broker confirms) and receiving, as far as it went.
    """

    outcome: Outcome
    seconds: dict[str, float]
    why: str = ""


class _Failed(Exception):
    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


async def check(url: str, *, timeout_s: float = 10.0) -> Check:
    """Send one message through a quorum queue made for it, as an administrator of the virtual host.

    Args:
        timeout_s: of each of the three steps.
    """
    seconds: dict[str, float] = {}
    try:
        began = time.monotonic()
        async with _connected(url, timeout_s) as channel:
            seconds["connect"] = time.monotonic() - began
            queue = await _queue(channel, timeout_s)
            try:
                body = secrets.token_bytes(16)
                began = time.monotonic()
                await _publish(channel, queue.name, body, timeout_s)
                seconds["publish"] = time.monotonic() - began
                began = time.monotonic()
                await _receive(queue, body, timeout_s)
                seconds["receive"] = time.monotonic() - began
            finally:
                # A channel that the broker has closed deletes nothing; then the queue expires.
                with suppress(AMQPError, RuntimeError, TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await queue.delete(if_unused=False, if_empty=False)
    except _Failed as failure:
        return Check(failure.outcome, seconds, str(failure))
    except (AMQPError, OSError, TimeoutError) as error:
        # The broker went away in between; the step that is missing tells where.
        steps = {"connect": Outcome.NOT_REACHED, "publish": Outcome.NOT_PUBLISHED}
        outcome = next((each for step, each in steps.items() if step not in seconds), Outcome.NOT_RECEIVED)
        return Check(outcome, seconds, _told(error))
    return Check(Outcome.WELL, seconds)


@asynccontextmanager
async def _connected(url: str, timeout_s: float) -> AsyncIterator[AbstractChannel]:
    try:
        connection = await aio_pika.connect(url, timeout=timeout_s)
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise _Failed(Outcome.REFUSED, f"it refuses the login: {_told(error)}") from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise _Failed(Outcome.NOT_REACHED, _told(error)) from error
    except ValueError as error:
        raise _Failed(Outcome.NOT_REACHED, f"this is no address; one looks like {AMQP_EXAMPLE}") from error
    async with connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _queue(channel: AbstractChannel, timeout_s: float) -> AbstractQueue:
    try:
        return await channel.declare_queue(
            f"laundry.check.{secrets.token_hex(6)}",
            durable=True,
            # A quorum queue, so it needs a majority as the planned queues do; it expires if we are killed.
            arguments={"x-queue-type": "quorum", "x-expires": EXPIRES_MS},
            timeout=timeout_s,
        )
    except (AMQPError, TimeoutError) as error:
        raise _Failed(Outcome.NOT_PUBLISHED, f"no queue can be made: {_told(error)}") from error


async def _publish(channel: AbstractChannel, queue: str, body: bytes, timeout_s: float) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    try:
        await channel.default_exchange.publish(message, queue, mandatory=True, timeout=timeout_s)
    except (AMQPError, DeliveryError, OSError, TimeoutError) as error:
        raise _Failed(Outcome.NOT_PUBLISHED, f"it does not confirm a message: {_told(error)}") from error


async def _receive(queue: AbstractQueue, body: bytes, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s), queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                if message.body == body:
                    return
    except TimeoutError:
        raise _Failed(Outcome.NOT_RECEIVED, f"the message did not come within {timeout_s:g} s") from None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
