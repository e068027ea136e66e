"""Keeps every event in the history, with pseudonyms in place of people.

The events themselves name people, as their readers must know them, and a stream forgets nothing for weeks.
What stands there instead leads to a person by one row in the database, which an erasure empties.
"""

import time

from laundry_events import Event, EventMeta, Publisher
from laundry_events.event import people_in, with_people
from laundry_events.events import PersonErased
from laundry_events.headers import ATTRIBUTE
from laundry_events.stream_reader import FILTER_VALUE
from laundry_events.topology import HISTORY_EXCHANGE
from laundry_service.storage.database import Database
from operations.repository.history import pseudonyms_of

REMEMBERED_S = 60.0
"""How long a process remembers pseudonyms: one query per person and minute instead of per event."""


class History:
    """Writes the stream of everything that has happened."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        """Publish with the service's own login, which alone may write there."""
        self._database = database
        self._publisher = publisher
        self._pseudonyms: dict[str, str] = {}
        self._since = time.monotonic()

    async def keep(self, event: Event, meta: EventMeta) -> None:
        """Store a copy of an event and return when a majority of the broker has it.

        It may be stored twice, if its message is delivered twice: readers recognise the event's id.

        Raises:
            PublishError: it is not known to be stored.
        """
        if isinstance(event, PersonErased):
            kept: Event = event.model_copy(update={"person_id": event.tombstone})
        else:
            known = await self._known(people_in(event))
            kept = with_people(event, known.__getitem__)
        headers = {name: value for name, value in meta.headers.items() if ATTRIBUTE.fullmatch(name)}
        if "traceparent" in meta.headers:
            headers["traceparent"] = meta.headers["traceparent"]
        await self._publisher.send(
            HISTORY_EXCHANGE,
            event.routing_key,
            body=kept.model_dump_json().encode(),
            headers={**headers, FILTER_VALUE: event.subject},
            message_id=meta.id,
        )

    async def _known(self, people: set[str]) -> dict[str, str]:
        if time.monotonic() - self._since > REMEMBERED_S:
            self._pseudonyms, self._since = {}, time.monotonic()
        remembered = self._pseudonyms
        if missing := people - remembered.keys():
            async with self._database.single() as connection:
                remembered.update(await pseudonyms_of(connection, missing))
        return remembered
