"""Request and reply through the broker: answered once at most, within seconds.

The answer comes to a queue that this process made for itself on an exchange of ours. RabbitMQ's *direct
reply-to* would need no queue, but whoever answers it must be allowed to publish to the default exchange, and
that reaches every queue there is.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Basic

from laundry_events.connection import RECONNECT_S, connection_url, transport_of
from laundry_events.errors import BrokerUnavailable, NoAnswer, PublishError
from laundry_events.interruptions import uncancelled
from laundry_events.plan import REPLIES_EXCHANGE, REQUESTS_EXCHANGE, reply_queues
from laundry_events.publisher import Publisher

TRANSIENT = 1
CONNECT_S = 5.0
AGAIN_AT_MOST_S = 5
SILENT_AT_MOST = 3

Answerer = Callable[[bytes, Mapping[str, Any]], Awaitable[bytes]]
"""Answers a request of these bytes and headers."""

log = structlog.get_logger(__name__)


class Requester:
    """Asks other services. ``start`` never waits for the broker; ``ask`` fails while it is away."""

    def __init__(self, publisher: Publisher, *, service: str) -> None:
        """Ask through a publisher's connection, and wait for answers on another one."""
        self._publisher = publisher
        self._service = service
        self._url = connection_url(publisher.url, name=f"{service}/replies")
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._address: str | None = None
        self._silent = 0
        self._anew = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start listening for answers in the background."""
        self._listening = asyncio.create_task(self._listen(), name="requester")

    async def stop(self) -> None:
        """Stop listening; whoever still waits has no answer."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        for each in self._waiting.values():
            each.cancel()

    @property
    def ready(self) -> bool:
        """Whether an answer would arrive."""
        return self._address is not None

    async def ask(
        self, queue: str, body: bytes, *, headers: Mapping[str, Any], content_type: str, within_s: float
    ) -> bytes:
        """Ask, and return the answer.

        Raises:
            NoAnswer: there was none in time.
            BrokerUnavailable, Refused, Unroutable: it could not be asked.
        """
        if self._address is None:
            raise BrokerUnavailable("no answer could arrive: there is no connection to the broker")
        name = secrets.token_hex(16)
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[name] = found
        properties = Basic.Properties(
            content_type=content_type,
            delivery_mode=TRANSIENT,
            headers=dict(headers),
            correlation_id=name,
            reply_to=self._address,
            # What is read after that is read for nobody.
            expiration=str(round(within_s * 1000)),
            app_id=self._service,
        )
        try:
            async with asyncio.timeout(within_s):
                await self._publisher.send_with(REQUESTS_EXCHANGE, queue, body, properties)
                answered = await found
        except TimeoutError as error:
            self._note_silence()
            raise NoAnswer(f"{queue}: no answer within {within_s:g} s") from error
        finally:
            del self._waiting[name]
        self._silent = 0
        return answered

    def _note_silence(self) -> None:
        """Listen on another connection if this one has been silent: its node may be cut off."""
        self._silent += 1
        if self._silent >= SILENT_AT_MOST:
            self._silent = 0
            self._anew.set()

    async def _listen(self) -> None:
        again_in_s = RECONNECT_S
        while True:
            try:
                await uncancelled(self._listen_once())
                again_in_s = RECONNECT_S
            except Exception as error:
                # The library raises many kinds of errors where a connection ends during its handshake.
                what = f"{type(error).__name__}: {error}"[:300]
                log.warning("answers cannot arrive yet", error=what, again_in_s=again_in_s)
            await asyncio.sleep(again_in_s)
            again_in_s = min(2 * again_in_s, AGAIN_AT_MOST_S)

    async def _listen_once(self) -> None:
        """Listen at a new queue until the connection ends or is silent. A queue that another node still
        holds for the last connection is in nobody's way.
        """
        self._anew.clear()
        connection = await aio_pika.connect(self._url, timeout=CONNECT_S)
        try:
            transport = transport_of(connection)
            if transport is None:
                return
            async with asyncio.timeout(CONNECT_S):
                channel = await connection.channel()
                address = f"{reply_queues(self._service)}{secrets.token_hex(12)}"
                queue = await channel.declare_queue(
                    address, exclusive=True, auto_delete=True, arguments={"x-queue-type": "classic"}
                )
                await queue.bind(REPLIES_EXCHANGE, address)
                await queue.consume(self._take, no_ack=True)
            self._address = address
            silent = asyncio.create_task(self._anew.wait())
            try:
                await asyncio.wait([transport.closing, silent], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._address = None
                silent.cancel()
        finally:
            # A node that is cut off would never say that it is closed.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(RECONNECT_S):
                    await connection.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        found = self._waiting.get(str(message.correlation_id))
        # One that nobody waits for any more came too late.
        if found is not None and not found.done():
            found.set_result(message.body)


async def answer(
    publisher: Publisher, queue: str, message: AbstractIncomingMessage, handler: Answerer
) -> None:
    """Answer one request; a failure leaves who asked without an answer, which it is prepared for."""
    if not message.reply_to or not message.correlation_id:
        log.warning("a request says not where its answer goes", queue=queue)
        return
    try:
        body = await handler(message.body, message.headers)
    except Exception:
        log.exception("a request could not be answered", queue=queue)
        return
    properties = Basic.Properties(
        content_type="application/json",
        delivery_mode=TRANSIENT,
        correlation_id=message.correlation_id,
        app_id=publisher.source,
    )
    try:
        await publisher.send_with(REPLIES_EXCHANGE, message.reply_to, body, properties, counted_as=queue)
    except PublishError as error:
        log.info("an answer reaches nobody", queue=queue, error=str(error)[:200])
