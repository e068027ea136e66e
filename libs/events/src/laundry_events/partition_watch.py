"""Watches whether the consumer's node is partitioned from the majority, and leaves it if so.

A node that is cut off from the others keeps its clients. It delivers nothing and reports nothing, and what a
consumer may ask for without a write (its queue's consumers, its messages) a deposed leader answers as before.
Repeating a binding is a write to the metadata store, which only a majority takes, and changes nothing; unlike
a probe that is published it puts no queue there and is not held back by an alarm, which would hold back the
acknowledgements of the same connection too.
"""

import asyncio
from collections.abc import Callable

import aiormq
import structlog
from aio_pika.abc import AbstractRobustConnection
from aiormq.abc import AbstractChannel, AbstractConnection
from prometheus_client import Counter

from laundry_events.connection import abandon
from laundry_events.plan import ALIVE_EXCHANGE, ALIVE_KEY, RETRY_EXCHANGE

LOOK_EVERY_S = 5.0
STALLED_S = 8.0
"""So long an answer may take before another connection is tried."""

FREE_TRIES = 5
PATIENCE_S = 25.0
"""While the majority is away no node answers: after some tries the wait doubles, up to this. After 30 s the
broker gives a write up itself and closes the connection.
"""

OLDER_PLAN_S = 60.0
"""Until it is asked again, where the broker has no such binding yet."""

LEFT = Counter("laundry_consumer_nodes_left", "Connections given up since their node takes no writes")

log = structlog.get_logger(__name__)


class PartitionWatch:
    """Probes periodically, and closes the connection if no answer comes; the library then reconnects."""

    def __init__(self, connection: Callable[[], AbstractRobustConnection | None]) -> None:
        """Watch the connection that ``connection`` returns, None while there is none."""
        self._of = connection
        self._task: asyncio.Task[None] | None = None
        self._channel: AbstractChannel | None = None

    def start(self) -> None:
        """Begin, in the background."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="partition-watch")

    async def stop(self) -> None:
        """Stop watching; the connection stays as it is."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        left, told = 0, False
        while True:
            await asyncio.sleep(OLDER_PLAN_S if told else LOOK_EVERY_S)
            connection = self._present()
            if connection is None:
                continue
            patience_s = min(STALLED_S * 2.0 ** max(0, left + 1 - FREE_TRIES), PATIENCE_S)
            try:
                answered = await self._answers(connection, patience_s)
            except (aiormq.exceptions.ChannelAccessRefused, aiormq.exceptions.ChannelNotFoundEntity) as error:
                self._channel = None
                if not told:
                    log.warning(
                        "it cannot be told whether the broker's node is cut off; apply the topology",
                        error=str(error)[:300],
                    )
                told = True
                continue
            told = False
            if answered:
                left = 0
            elif answered is False and connection is self._present():
                left += 1
                LEFT.inc()
                log.warning(
                    "the broker's node is cut off or takes no writes; connecting anew", silent_s=patience_s
                )
                await abandon(connection, "its node takes no writes")

    def _present(self) -> AbstractConnection | None:
        robust = self._of()
        if robust is None or not robust.connected.is_set() or robust.transport is None:
            return None
        connection = robust.transport.connection
        return None if connection.is_closed else connection

    async def _answers(self, connection: AbstractConnection, within_s: float) -> bool | None:
        """Probe once: False if no answer comes, None if the connection was lost meanwhile.

        Raises:
            aiormq.exceptions.ChannelNotFoundEntity, aiormq.exceptions.ChannelAccessRefused: the broker has an
                older plan, or this user may not ask.
        """
        channel, self._channel = self._channel, None
        try:
            async with asyncio.timeout(within_s):
                if channel is None or channel.is_closed or channel.connection is not connection:
                    channel = await connection.channel(publisher_confirms=False)
                await channel.exchange_bind(RETRY_EXCHANGE, ALIVE_EXCHANGE, ALIVE_KEY)
        except TimeoutError:
            return False
        except (aiormq.exceptions.ChannelAccessRefused, aiormq.exceptions.ChannelNotFoundEntity):
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None  # the library cancels what waits on a channel that goes
        except Exception as error:
            # It raises many kinds of errors into waiters; the loop then checks for a new connection.
            log.debug("the broker could not be asked", error=f"{type(error).__name__}: {error}"[:300])
            return None
        self._channel = channel
        return True
