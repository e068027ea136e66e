"""The inbox: a message has its effect once, however often it is delivered."""

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from laundry_events.tables import inbox

# Longer than any dead letter lives (7 days), so that a late redrive is still recognised.
RETENTION = timedelta(days=14)

_CONSUMER = sa.bindparam("inbox_consumer", type_=sa.Text)
_MESSAGE = sa.bindparam("inbox_message_id", type_=sa.Text)
_MESSAGES = sa.bindparam("inbox_message_ids", type_=sa.ARRAY(sa.Text))
# One text however many there are, so that it is compiled and planned once.
_CLAIM_EACH = (
    insert(inbox)
    .from_select(["consumer", "message_id"], sa.select(_CONSUMER, sa.func.unnest(_MESSAGES)))
    .on_conflict_do_nothing()
    .returning(inbox.c.message_id)
)


async def claim_once(session: AsyncSession | AsyncConnection, consumer: str, message_id: str) -> bool:
    """Claim a message in the caller's transaction; False means it was already handled.

    Args:
        consumer: which effect this is, e.g. ``helper.task-read``; each has the message once.
    """
    noted = await session.execute(
        insert(inbox)
        .values(consumer=consumer, message_id=message_id)
        .on_conflict_do_nothing()
        .returning(inbox.c.message_id)
    )
    return noted.first() is not None


async def claim_each_once(
    session: AsyncSession | AsyncConnection, consumer: str, message_ids: Collection[str]
) -> set[str]:
    """Claim many messages in the caller's transaction; returns those not handled before."""
    if not message_ids:
        return set()
    # Sorted: two readers of the same messages may wait for each other but never deadlock.
    noted = await session.execute(
        _CLAIM_EACH, {"inbox_consumer": consumer, "inbox_message_ids": sorted(set(message_ids))}
    )
    return set(noted.scalars())


def unclaimed() -> sa.ColumnElement[bool]:
    """Return the condition of a statement that a message had no effect yet (``claim_parameters``)."""
    return ~sa.exists().where(inbox.c.consumer == _CONSUMER, inbox.c.message_id == _MESSAGE)


def claim_with(rows: sa.FromClause) -> sa.CTE:
    """Return the part of a statement that notes a message if there are ``rows``: one round trip for both.

    Add it to the statement that makes ``rows`` (``add_cte``), one row at most, where ``unclaimed`` holds.
    """
    row = sa.select(_CONSUMER, _MESSAGE).select_from(rows)
    return insert(inbox).from_select([inbox.c.consumer, inbox.c.message_id], row).cte("inbox_claimed")


def claim_parameters(consumer: str, message_id: str) -> dict[str, str]:
    """Return the parameters of ``unclaimed`` and ``claim_with``."""
    return {"inbox_consumer": consumer, "inbox_message_id": message_id}


def expired() -> sa.ColumnElement[bool]:
    """Return the condition of claims older than the retention, for who deletes many in slices."""
    return inbox.c.received_at < sa.func.now() - RETENTION


async def delete_expired(session: AsyncSession | AsyncConnection) -> int:
    """Delete claims older than the retention; returns how many."""
    gone = await session.execute(sa.delete(inbox).where(expired()))
    return int(gone.rowcount)  # type: ignore[attr-defined, unused-ignore]
