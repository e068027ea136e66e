"""The relay's queries: claim due rows, delete published ones, defer the others, report the backlog.

Every query uses an index however long the backlog: a million rows for a queue that accepts none neither slow
the claim of another queue's rows nor turn the state query into a scan.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from laundry_events import silent_hosts
from laundry_events.envelope import MAX_MESSAGE_BYTES, OutgoingEvent

HOLD = 0x1A0D28
"""The advisory lock of who holds the outbox. Relays share it while they publish: who has it alone keeps them
from publishing, and what is accepted meanwhile waits (``hold``).
"""
# Evaluated once, before any row is locked.
_NOT_HELD = f"(SELECT pg_try_advisory_xact_lock_shared({HOLD}))"
# Hops from one routing key to the next along the index, then takes the first due rows of each.
CLAIM = f"""
WITH RECURSIVE keys AS (
    (SELECT routing_key FROM outbox ORDER BY routing_key LIMIT 1)
    UNION ALL
    SELECT (SELECT o.routing_key FROM outbox o WHERE o.routing_key > keys.routing_key
            ORDER BY o.routing_key LIMIT 1)
    FROM keys WHERE keys.routing_key IS NOT NULL
)
SELECT due.* FROM keys CROSS JOIN LATERAL (
    SELECT o.id, o.event_id, o.routing_key, o.headers, o.body FROM outbox o
    WHERE o.routing_key = keys.routing_key AND o.next_attempt_at <= now() AND {_NOT_HELD}
    ORDER BY o.next_attempt_at, o.id LIMIT $1 FOR UPDATE SKIP LOCKED
) due
WHERE keys.routing_key <> ALL($2::text[])
"""  # noqa: S608 - a number of our own
CLAIM_KEY = f"""
SELECT id, event_id, routing_key, headers, body FROM outbox
WHERE routing_key = $2 AND next_attempt_at <= now() AND {_NOT_HELD}
ORDER BY next_attempt_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - the same
DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
DEFERRED = """
UPDATE outbox SET attempts = attempts + 1, last_error = failed.error,
       next_attempt_at = now() + make_interval(secs => least(60, power(2, least(attempts + 1, 6))))
FROM unnest($1::bigint[], $2::text[]) AS failed (id, error) WHERE outbox.id = failed.id
"""
# Ids follow the order of storing closely enough for an age, and looking for the least time would scan.
STATE = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS head) AS counted,
       (SELECT extract(epoch FROM now() - created_at) FROM outbox ORDER BY id LIMIT 1) AS oldest_s,
       pg_total_relation_size('outbox') AS bytes,
       (SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = 'outbox'::regclass) AS live,
       (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'outbox'::regclass) AS dead
"""
COUNTED_EXACTLY = 10_000
ERROR_CHARS = 500
SHORT_TEXT_BYTES = 255

SESSION = {
    # A plan that was made while the outbox was empty would scan and sort the million rows of an outage.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    # Nobody waits for a removal to reach the disk. One that a crash of the database undoes is published
    # again, under the same id.
    "synchronous_commit": "off",
    # The lease must also end with a process that is frozen.
    "idle_in_transaction_session_timeout": "30s",
    "application_name": "outbox-relay",
}

Connection: TypeAlias = "asyncpg.Connection[Any]"


class UnpublishableRow(Exception):
    """A row that must not be sent to a broker: it is deferred and reported, and blocks no other."""


@dataclass(frozen=True)
class State:
    """What waits: rows (an estimate above 10,000), age of the oldest in seconds, size with indexes and what
    vacuum has yet to clear away, in bytes and rows.
    """

    waiting: int
    oldest_s: float
    bytes: int
    dead: int


async def connect(dsn: str) -> Connection:
    """Open a connection for these queries. Raises OSError, TimeoutError, asyncpg.PostgresError."""
    return await silent_hosts.connect(dsn, command_timeout=30, settings=SESSION)


async def hold(connection: Connection) -> bool:
    """Keep every relay of this database from publishing until ``release``, or until the connection ends.

    Returns:
        whether there is an outbox; else nothing is held.

    Raises:
        asyncpg.LockNotAvailableError: it is held by another for longer than the session's ``lock_timeout``.
    """
    if await connection.fetchval("SELECT to_regclass('public.outbox')") is None:
        return False
    # What is being published is finished first.
    await connection.execute("SELECT pg_advisory_lock($1)", HOLD)
    return True


async def release(connection: Connection) -> None:
    """Let the relays publish again."""
    await connection.execute("SELECT pg_advisory_unlock($1)", HOLD)


async def claim(
    connection: Connection, limit: int, *, key: str | None = None, without: Collection[str] = ()
) -> list[asyncpg.Record]:
    """Lock up to ``limit`` due rows of each routing key (or of one) until the transaction ends."""
    if key is not None:
        return await connection.fetch(CLAIM_KEY, limit, key)
    return await connection.fetch(CLAIM, limit, list(without))


async def remove(connection: Connection, ids: Sequence[int]) -> None:
    """Delete rows that are published."""
    await connection.execute(DELETE, ids)


async def defer(connection: Connection, errors: Sequence[tuple[int, str]]) -> None:
    """Defer rows by 2 s, doubling with each failure up to a minute."""
    await connection.execute(DEFERRED, [i for i, _ in errors], [error[:ERROR_CHARS] for _, error in errors])


async def state(connection: Connection) -> State:
    """Read the state of the outbox at a cost that does not grow with its size."""
    row = await connection.fetchrow(STATE, COUNTED_EXACTLY + 1)
    if row is None:
        raise asyncpg.InterfaceError("the outbox told nothing of its state")
    counted = row["counted"]
    waiting = counted if counted <= COUNTED_EXACTLY else max(counted, row["live"] or 0)
    return State(waiting, max(0.0, float(row["oldest_s"] or 0)), row["bytes"], row["dead"] or 0)


def outgoing(row: asyncpg.Record) -> OutgoingEvent:
    """Decode a row into an event.

    Raises:
        UnpublishableRow: its headers, names or size are none that the broker may be given; some of these
            would close the channel, and fail every other row in flight with it.
    """
    try:
        headers = json.loads(row["headers"])
    except ValueError as error:
        raise UnpublishableRow(f"its headers are no JSON: {error}") from error
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise UnpublishableRow("its headers are not an object of texts")
    names = (row["event_id"], row["routing_key"], *headers)
    if any(len(name.encode()) > SHORT_TEXT_BYTES for name in names):
        raise UnpublishableRow(f"its id, routing key or a header's name exceeds {SHORT_TEXT_BYTES} bytes")
    size = len(row["body"]) + sum(len(k.encode()) + len(v.encode()) for k, v in headers.items())
    if size > MAX_MESSAGE_BYTES:
        raise UnpublishableRow(f"it has {size} bytes; a message is at most {MAX_MESSAGE_BYTES}")
    return OutgoingEvent(row["event_id"], row["routing_key"], headers, row["body"])
