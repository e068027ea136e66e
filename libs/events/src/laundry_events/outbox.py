"""The outbox: an event is stored in the transaction of the change it announces and published after commit."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from laundry_events.envelope import OutgoingEvent, encode
from laundry_events.event import Event, with_people
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

    async def forget(
        self,
        session: AsyncSession | AsyncConnection,
        person: str,
        tombstone: str,
        events: Mapping[str, type[Event]],
    ) -> int:
        """Put a tombstone in place of a person in events that still wait, in the caller's transaction.

        Else what an outage holds up would name the person again, to all who have just forgotten them. An
        event that is being published is waited for.

        Args:
            events: those to look at, by routing key.

        Returns:
            how many events were changed.
        """
        quoted = sa.literal(json.dumps(person, ensure_ascii=False).encode(), sa.LargeBinary)
        waiting = await session.execute(
            sa.select(outbox.c.id, outbox.c.routing_key, outbox.c.body)
            .where(
                sa.func.position(quoted.op("IN")(outbox.c.body)) > 0,
                outbox.c.routing_key.in_(events),
            )
            .with_for_update()
        )
        changed = [
            (row.id, body)
            for row in waiting
            if (body := _without(events[row.routing_key], row.body, person, tombstone)) != row.body
        ]
        for row_id, body in changed:
            await session.execute(sa.update(outbox).where(outbox.c.id == row_id).values(body=body))
        return len(changed)


def _without(event: type[Event], body: bytes, person: str, tombstone: str) -> bytes:
    """Return an event's body with a tombstone for a person; as it is if it is none of such an event."""
    try:
        named = event.model_validate_json(body)
    except ValidationError:
        # Nor can whoever takes it read it: a dead letter, in which the person is looked for.
        return body
    unnamed = with_people(named, lambda each: tombstone if each == person else each)
    return body if unnamed == named else unnamed.model_dump_json().encode()


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
