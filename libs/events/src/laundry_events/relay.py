"""Relays the outbox to the broker.

One transaction claims a batch with ``FOR UPDATE SKIP LOCKED``, publishes it pipelined, and deletes what was
confirmed. The row lock is the lease and dies with the process, so a killed relay delays its rows by no more
than the next one's poll. A row that cannot be published is deferred and blocks no other; a routing key whose
queue accepts nothing is retried separately, on its own connection, until it does.
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from laundry_events import outbox_rows
from laundry_events.dsn import plain_dsn
from laundry_events.errors import BrokerUnavailable, PublishError
from laundry_events.outbox_rows import Connection
from laundry_events.publisher import Publisher
from laundry_events.tables import OUTBOX_CHANNEL

RELAYED = Counter("laundry_outbox_relayed", "Outbox rows published and deleted")
DEFERRED_ROWS = Counter("laundry_outbox_put_off", "Outbox rows that the broker would not take")
WAITING = Gauge("laundry_outbox_waiting", "Rows in the outbox (an estimate above 10,000)")
OLDEST = Gauge(
    "laundry_outbox_oldest_seconds", "Age of the oldest row in the outbox; the most it can be if unseen"
)
BYTES = Gauge("laundry_outbox_bytes", "Size of the outbox with its indexes and what vacuum will clear")
DEAD_ROWS = Gauge("laundry_outbox_dead_rows", "Rows of the outbox that are deleted and not yet vacuumed")
APART = Gauge("laundry_outbox_keys_apart", "Routing keys whose queue takes nothing now")

DATABASE_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
LONGEST_PAUSE_S = 5.0
AWAY_PAUSE_S = 0.5
TELL_EVERY_S = 60.0
STRAGGLERS_S = 1.0
"""So long nothing more may be confirmed before a batch ends without the rest of it; or twice as long as the
slowest confirm of the batch took: a broker that is slow for all is no queue that is silent.
"""

log = structlog.get_logger(__name__)


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
        """Relay from this database with this publisher. ``poll_s`` is the fallback for LISTEN/NOTIFY."""
        self._dsn = plain_dsn(database_url)
        self._publisher = publisher
        self._batch = batch
        self._poll_s = poll_s
        self._state_every_s = state_every_s
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._separate: dict[str, asyncio.Task[None]] = {}
        self._oldest_s = self._seen_at = 0.0
        self._told_at: dict[tuple[str, type[BaseException]], float] = {}

    async def start(self) -> None:
        """Start relaying in the background."""
        self._stopping.clear()
        self._oldest_s, self._seen_at = 0.0, asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def stop(self, grace_s: float = 5.0) -> None:
        """Finish the batch in flight, then stop."""
        self._stopping.set()
        self._wake.set()
        running = [task for task in (self._task, *self._separate.values()) if task is not None]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        self._task = None
        self._separate.clear()

    def wake(self) -> None:
        """Look at the outbox now: a transaction has committed in this process."""
        self._wake.set()

    async def _run(self) -> None:
        pause_s = 0.5
        while not self._stopping.is_set():
            connection: Connection | None = None
            try:
                connection = await outbox_rows.connect(self._dsn)
                await connection.add_listener(OUTBOX_CHANNEL, lambda *_: self._wake.set())
                pause_s = 0.5
                await self._relay(connection)
            # If the relay ended, every later row would silently stay unpublished.
            except Exception as error:
                if isinstance(error, DATABASE_ERRORS):
                    log.warning("outbox relay lost its database", error=_text(error), again_in_s=pause_s)
                else:
                    log.exception("outbox relay failed", again_in_s=pause_s)
                # Its service may go on to store events, of which nothing is seen: "too many clients".
                OLDEST.set(self._oldest_s + asyncio.get_running_loop().time() - self._seen_at)
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, 10)
            finally:
                if connection is not None:
                    await _close(connection)

    async def _relay(self, connection: Connection) -> None:
        away = False
        looked_at = float("-inf")
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            self._wake.clear()
            if clock() - looked_at > self._state_every_s:
                looked_at = clock()
                await self._report(connection)
            can_publish = await self._publisher.can_publish()
            if away == can_publish:
                away = not can_publish
                if away:
                    log.warning("the broker takes nothing; the outbox waits")
                else:
                    log.info("the broker is back; the outbox drains")
            if away:
                # Not woken by new rows: a busy service would poll all the time.
                await self._pause(AWAY_PAUSE_S)
                continue
            claimed, failed = await self._drain_once(connection, self._batch)
            for key in failed - self._separate.keys():
                self._separate[key] = asyncio.create_task(
                    self._relay_separately(key), name=f"outbox-relay {key}"
                )
            if claimed < self._batch:
                await self._sleep(self._poll_s)

    async def _relay_separately(self, key: str) -> None:
        """Retry the rows of a failed key, one and then ever more, until its queue accepts them again.

        One row in flight tells which is at fault where a refusal closes the channel of all.
        """
        log.warning("these rows wait for their queue; others go on", routing_key=key)
        APART.inc()
        limit, pause_s = 1, AWAY_PAUSE_S
        connection: Connection | None = None
        try:
            while not self._stopping.is_set():
                if limit == 1:
                    # Keys that failed together must not be tried together for ever: one may close the
                    # channel of all.
                    await self._pause(pause_s * random.uniform(0.5, 1))  # noqa: S311 - nothing secret
                if not await self._publisher.can_publish():
                    limit, pause_s = 1, AWAY_PAUSE_S
                    continue
                connection = connection or await outbox_rows.connect(self._dsn)
                claimed, failed = await self._drain_once(connection, limit, key=key)
                if failed:
                    limit, pause_s = 1, min(pause_s * 2, LONGEST_PAUSE_S)
                elif claimed == limit < self._batch:
                    limit *= 4
                elif limit > 1:
                    log.info("these rows are relayed with the others again", routing_key=key)
                    return
        except DATABASE_ERRORS:
            pass  # the relay's own connection tells of it, and finds this key again
        except Exception:
            log.exception("rows that wait for their queue could not be tried", routing_key=key)
        finally:
            self._separate.pop(key, None)
            APART.dec()
            self._wake.set()
            if connection is not None:
                await _close(connection)

    async def _drain_once(
        self, connection: Connection, limit: int, *, key: str | None = None
    ) -> tuple[int, set[str]]:
        """Relay one batch: of one key, or of all keys that are not retried separately.

        Returns:
            how many rows were claimed, and the routing keys of which the broker took not all.
        """
        async with connection.transaction():
            rows = await outbox_rows.claim(connection, limit, key=key, without=self._separate)
            if not rows:
                return 0, set()
            results = await self._publish(rows)
            outcomes = list(zip(rows, results, strict=True))
            done = [row["id"] for row, error in outcomes if error is None]
            failed = [(row, error) for row, error in outcomes if error is not None]
            if done:
                await outbox_rows.remove(connection, done)
            # Without a connection a row stays due. One that was tried alone goes behind the others.
            behind = [
                (row, error)
                for row, error in failed
                if not isinstance(error, BrokerUnavailable) or (limit == 1 and self._publisher.connected)
            ]
            if behind:
                await outbox_rows.defer(connection, [(row["id"], _text(error)) for row, error in behind])
        RELAYED.inc(len(done))
        DEFERRED_ROWS.inc(len(behind))
        self._tell(behind)
        return len(rows), {row["routing_key"] for row, error in failed if isinstance(error, PublishError)}

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> list[BaseException | None]:
        """Publish rows concurrently; a silent queue does not delay the others for long."""
        tasks = [asyncio.create_task(self._publish_row(row)) for row in rows]
        waiting: set[asyncio.Task[float]] = set(tasks)
        slowest_s, moved = 0.0, False
        try:
            while waiting and (moved or not slowest_s):
                done, waiting = await asyncio.wait(waiting, timeout=max(STRAGGLERS_S, 2 * slowest_s))
                moved = bool(done)
                took = [task.result() for task in done if _error_of(task) is None]
                slowest_s = max(slowest_s, *took) if took else slowest_s
        finally:
            for task in waiting:
                task.cancel()
            if waiting:
                await asyncio.wait(waiting)
        return [
            BrokerUnavailable("not confirmed while others were") if task in waiting else _error_of(task)
            for task in tasks
        ]

    async def _publish_row(self, row: asyncpg.Record) -> float:
        """Publish a row; returns how many seconds its confirm took."""
        began = asyncio.get_running_loop().time()
        await self._publisher.send_event(outbox_rows.outgoing(row))
        return asyncio.get_running_loop().time() - began

    async def _report(self, connection: Connection) -> None:
        state = await outbox_rows.state(connection)
        self._oldest_s, self._seen_at = state.oldest_s, asyncio.get_running_loop().time()
        WAITING.set(state.waiting)
        OLDEST.set(state.oldest_s)
        BYTES.set(state.bytes)
        DEAD_ROWS.set(state.dead)

    def _tell(self, behind: Sequence[tuple[asyncpg.Record, BaseException]]) -> None:
        """Log deferred rows: at most one line a minute per key and kind of failure."""
        kinds: dict[tuple[str, type[BaseException]], list[tuple[asyncpg.Record, BaseException]]] = {}
        for row, error in behind:
            kinds.setdefault((row["routing_key"], type(error)), []).append((row, error))
        now = asyncio.get_running_loop().time()
        for kind, found in kinds.items():
            if now - self._told_at.get(kind, float("-inf")) < TELL_EVERY_S:
                continue
            self._told_at[kind] = now
            row, error = found[0]
            say = log.warning if issubclass(kind[1], PublishError) else log.error
            say(
                "outbox rows are put off",
                routing_key=kind[0],
                rows=len(found),
                first_id=row["id"],
                first_event_id=row["event_id"],
                error=_text(error),
            )

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _error_of(task: "asyncio.Task[float]") -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _close(connection: Connection) -> None:
    if not connection.is_closed():
        with contextlib.suppress(Exception):
            await connection.close(timeout=2)
