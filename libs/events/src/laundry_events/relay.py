"""Carries the outbox to the broker.

One transaction claims a batch with ``FOR UPDATE SKIP LOCKED``, publishes it pipelined, and deletes what was
confirmed. The row lock is the lease and dies with the process, so a killed relay delays its rows by no more
than the next one's poll. A row that cannot be published is put off and holds up no other.
"""

import asyncio
import contextlib
import json
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from laundry_events.envelope import OutgoingEvent
from laundry_events.errors import BrokerUnavailable, PublishError
from laundry_events.publisher import Publisher
from laundry_events.tables import OUTBOX_CHANNEL

CLAIM = """
SELECT id, event_id, routing_key, headers, body FROM outbox
WHERE next_attempt_at <= now() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
PUT_OFF = """
UPDATE outbox SET attempts = attempts + 1, last_error = $2,
       next_attempt_at = now() + make_interval(secs => least(60, power(2, least(attempts, 6))))
WHERE id = $1
"""
STATE = "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox"

RELAYED = Counter("laundry_outbox_relayed", "Outbox rows published and deleted")
PUT_OFF_ROWS = Counter("laundry_outbox_put_off", "Outbox rows that the broker would not take")
WAITING = Gauge("laundry_outbox_waiting", "Rows in the outbox")
OLDEST = Gauge("laundry_outbox_oldest_seconds", "Age of the oldest row in the outbox")

log = structlog.get_logger(__name__)


def plain_dsn(database_url: str) -> str:
    """Turn a SQLAlchemy URL into the one that asyncpg takes."""
    return database_url.replace("postgresql+asyncpg://", "postgresql://", 1)


class Relay:
    """Runs in every replica of a service that has an outbox; they share the rows."""

    def __init__(
        self,
        database_url: str,
        publisher: Publisher,
        *,
        batch: int = 256,
        poll_s: float = 1.0,
        state_every_s: float = 5.0,
    ) -> None:
        """Take the service's database and its publisher. ``poll_s`` is the net below LISTEN/NOTIFY."""
        self._dsn = plain_dsn(database_url)
        self._publisher = publisher
        self._batch = batch
        self._poll_s = poll_s
        self._state_every_s = state_every_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to relay in the background."""
        self._stopping = False
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def stop(self, grace_s: float = 5.0) -> None:
        """Finish the batch in hand, then stop."""
        self._stopping = True
        self._wake.set()
        if self._task is None:
            return
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.shield(self._task)
        except TimeoutError:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = None

    def wake(self) -> None:
        """Look at the outbox now: a transaction has committed in this process."""
        self._wake.set()

    async def _run(self) -> None:
        pause_s = 0.5
        while not self._stopping:
            connection: asyncpg.Connection[Any] | None = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=30)
                await connection.add_listener(OUTBOX_CHANNEL, lambda *_: self._wake.set())
                pause_s = 0.5
                await self._relay(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("outbox relay lost its database", error=str(error), again_in_s=pause_s)
                await self._sleep(pause_s)
                pause_s = min(pause_s * 2, 10)
            except Exception:
                # A relay that ended would leave every later row unpublished with nobody the wiser.
                log.exception("outbox relay failed", again_in_s=pause_s)
                await self._sleep(pause_s)
                pause_s = min(pause_s * 2, 10)
            finally:
                if connection is not None and not connection.is_closed():
                    with contextlib.suppress(Exception):
                        await connection.close(timeout=2)

    async def _relay(self, connection: "asyncpg.Connection[Any]") -> None:
        broker_away = False
        looked_at = 0.0
        clock = asyncio.get_running_loop().time
        while not self._stopping:
            self._wake.clear()
            if clock() - looked_at > self._state_every_s:
                looked_at = clock()
                await self._report(connection)
            try:
                claimed = await self._drain_once(connection) if self._publisher.connected else -1
            except BrokerUnavailable as error:
                claimed = -1
                if not broker_away:
                    log.warning("the broker takes nothing; the outbox waits", error=str(error))
            if claimed < 0:
                broker_away = True
                await asyncio.sleep(min(self._poll_s, 0.5))
                continue
            if broker_away:
                broker_away = False
                log.info("the broker is back; the outbox drains")
            if claimed < self._batch:
                await self._sleep(self._poll_s)

    async def _drain_once(self, connection: "asyncpg.Connection[Any]") -> int:
        """Relay one batch.

        Returns:
            how many rows were claimed.

        Raises:
            BrokerUnavailable: nothing could be published; the rows stay as they were.
        """
        async with connection.transaction():
            rows = await connection.fetch(CLAIM, self._batch)
            if not rows:
                return 0
            results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
            done = [row["id"] for row, result in zip(rows, results, strict=True) if result is None]
            failed = [
                (row, result)
                for row, result in zip(rows, results, strict=True)
                if isinstance(result, BaseException)
            ]
            if done:
                await connection.execute(DELETE, done)
            for row, error in failed:
                if not isinstance(error, BrokerUnavailable) or done:
                    await self._put_off(connection, row, error)
        RELAYED.inc(len(done))
        if failed and not done and all(isinstance(error, BrokerUnavailable) for _, error in failed):
            raise BrokerUnavailable(str(failed[0][1]))
        return len(rows)

    async def _publish(self, row: asyncpg.Record) -> None:
        headers: dict[str, str] = json.loads(row["headers"])
        await self._publisher.send_event(
            OutgoingEvent(row["event_id"], row["routing_key"], headers, row["body"])
        )

    async def _put_off(
        self, connection: "asyncpg.Connection[Any]", row: asyncpg.Record, error: BaseException
    ) -> None:
        PUT_OFF_ROWS.inc()
        say = log.warning if isinstance(error, PublishError) else log.error
        say("an outbox row is put off", outbox_id=row["id"], event_id=row["event_id"], error=str(error))
        await connection.execute(PUT_OFF, row["id"], str(error)[:500])

    async def _report(self, connection: "asyncpg.Connection[Any]") -> None:
        count, oldest = await connection.fetchrow(STATE) or (0, 0)
        WAITING.set(count)
        OLDEST.set(float(oldest))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
