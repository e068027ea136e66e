"""The outbox: an event is stored in the transaction of the fact it tells, and published after the commit."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from laundry_events.envelope import encode
from laundry_events.event import Event
from laundry_events.tables import outbox


class Outbox:
    """Adds events to the outbox of one service."""

    def __init__(self, source: str) -> None:
        """Take the name of the service that speaks."""
        self.source = source

    async def add(
        self, session: AsyncSession | AsyncConnection, event: Event, *, event_id: str | None = None
    ) -> str:
        """Store an event in the caller's transaction, with the trace that is current here.

        Returns:
            the event's id.

        Raises:
            EventTooLarge: it exceeds 64 KiB; the transaction should not commit.
        """
        outgoing = encode(event, source=f"/{self.source}", event_id=event_id)
        await session.execute(
            insert(outbox).values(
                event_id=outgoing.id,
                routing_key=outgoing.routing_key,
                headers=outgoing.headers,
                body=outgoing.body,
            )
        )
        return outgoing.id
