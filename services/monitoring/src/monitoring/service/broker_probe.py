"""Asks whether the broker takes messages now: under a memory or disk alarm no equipment is heard by MQTT.

The broker tells a connection of an alarm only when that connection publishes. So something is published, in a
transaction that is then rolled back: it reaches no queue.
"""

import asyncio

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection, AbstractExchange, AbstractTransaction

from laundry_events.connection import abandon, connection_url
from laundry_events.plan import RETRY_EXCHANGE
from laundry_events.topology import PLAN

CONNECT_S = 5.0
ANSWER_S = 2.0
# Where this service may publish anyway.
KEY = PLAN.queue("telemetry.reported").retries[0][0]

log = structlog.get_logger(__name__)


class BrokerProbe:
    """Has a connection of its own, made when it is first needed: an alarm stops all that is sent on it."""

    def __init__(self, url: str, *, service: str) -> None:
        """Ask the broker at ``url``; nothing connects yet."""
        self._url = connection_url(url, name=f"{service}/probe")
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._transaction: AbstractTransaction | None = None
        self._asking: asyncio.Task[None] | None = None
        self._taking = True

    async def start(self) -> None:
        """Do nothing: it connects when it is first asked."""

    async def stop(self) -> None:
        """Close the connection."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._close("the service stops")

    async def takes_messages(self) -> bool:
        """Whether the broker takes what is published; False if it does not answer within two seconds."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="broker-probe")
            # Nobody asks why one failed that ended between two looks.
            self._asking.add_done_callback(lambda asking: asking.cancelled() or asking.exception())
        # One that is held back is answered when the alarm ends.
        await asyncio.wait({self._asking}, timeout=ANSWER_S)
        asking, error = self._asking, None
        if asking.done():
            error = asyncio.CancelledError() if asking.cancelled() else asking.exception()
        self._note(asking.done() and error is None, error)
        return self._taking

    def _note(self, taking: bool, error: BaseException | None) -> None:
        if taking != self._taking:
            if taking:
                log.info("the broker takes messages again")
            else:
                why = "no answer" if error is None else f"{type(error).__name__}: {error}"[:300]
                log.warning("the broker takes no messages; no silence by MQTT counts", error=why)
        self._taking = taking

    async def _ask(self) -> None:
        try:
            exchange, transaction = await self._open()
            await exchange.publish(aio_pika.Message(b""), KEY, mandatory=False)
            await transaction.rollback()
        except BaseException:
            await self._close("it does not answer")
            raise

    async def _open(self) -> tuple[AbstractExchange, AbstractTransaction]:
        if self._exchange is None or self._transaction is None:
            self._connection = await aio_pika.connect(self._url, timeout=CONNECT_S)
            async with asyncio.timeout(CONNECT_S):
                channel = await self._connection.channel(publisher_confirms=False)
                transaction = channel.transaction()
                await transaction.select()
                self._exchange = await channel.get_exchange(RETRY_EXCHANGE, ensure=False)
                self._transaction = transaction
        return self._exchange, self._transaction

    async def _close(self, why: str) -> None:
        connection, self._connection = self._connection, None
        self._exchange = self._transaction = None
        if connection is not None and connection.transport is not None:
            await abandon(connection.transport.connection, why)
