"""The outbox: an event is stored in the transaction of the change it announces and published after commit."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from laundry_events.envelope import OutgoingEvent, encode
from laundry_events.event import Event
from laundry_events.tables import outbox

_STORED = ("event_id", "routing_key", "headers", "body")


class Outbox:
    """Adds events to the outbox of one service."""

    def __init__(self, source: str) -> None:
        """Publish in the name of ``source``."""
        self.source = source

    async def add(
        self,
        session: AsyncSession | AsyncConnection,
        event: Event,
        *,
        event_id: str | None = None,
        due: datetime | None = None,
    ) -> str:
        """Store an event in the caller's transaction, with the current trace context.

        Args:
            due: a time of the database's clock before which it is not published and can be taken back.

        Returns:
            the event's id.

        Raises:
            EventTooLarge: it exceeds 64 KiB; the transaction should not commit.
        """
        outgoing = encode(event, source=f"/{self.source}", event_id=event_id)
        # It counts as waiting from then on, so that one that is held is not reported as stuck.
        held = {} if due is None else {"next_attempt_at": due, "created_at": due}
        await session.execute(sa.insert(outbox).values(_values(outgoing) | held))
        return outgoing.id

    async def take_back(self, session: AsyncSession, event: type[Event], event_id: str) -> bool:
        """Remove an event that is not due yet, in the caller's transaction.

        The relay locks what it publishes: an event is either removed here, or published, or (if publishing it
        was tried without an answer) may be, and then it stays.

        Returns:
            whether it was removed, and so is never published.
        """
        removed = await session.execute(
            sa.delete(outbox)
            .where(
                # The index of what is due leads there, however much waits.
                outbox.c.routing_key == event.routing_key,
                outbox.c.next_attempt_at > sa.func.now(),
                outbox.c.event_id == event_id,
                outbox.c.attempts == 0,
            )
            .returning(outbox.c.id)
        )
        return removed.first() is not None


def add_with(rows: sa.FromClause) -> sa.CTE:
    """Return the part of a statement that stores an event for each of ``rows``: one round trip for both.

    Add it to the statement that makes ``rows`` (``add_cte``), and ``add_parameters`` to its parameters.
    """
    columns = [outbox.c[name] for name in _STORED]
    values = (sa.bindparam(f"outbox_{column.name}", type_=column.type) for column in columns)
    return sa.insert(outbox).from_select(columns, sa.select(*values).select_from(rows)).cte("outbox_added")


def add_parameters(event: OutgoingEvent) -> dict[str, Any]:
    """Return the parameters of ``add_with``."""
    return {f"outbox_{name}": value for name, value in _values(event).items()}


def _values(event: OutgoingEvent) -> dict[str, Any]:
    return dict(zip(_STORED, (event.id, event.routing_key, event.headers, event.body), strict=True))
