"""Keeps every event in the history, with pseudonyms in place of people.

The events themselves name people, as their readers must know them, and a stream forgets nothing for weeks.
What stands there instead leads to a person by one row in the database, which an erasure empties.
"""

import asyncio
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

TOGETHER_S, TOGETHER_MOST = 0.05, 32
"""How long an event waits for others, and for how many. Nobody waits for the history, and what leaves
together is one write, one confirm and one acknowledgement."""


class Departures:
    """Lets who came meanwhile go together: after a while, or as soon as there are many."""

    def __init__(self, *, after_s: float, most: int) -> None:
        """Take how long the first waits at most, and how many do not wait any longer."""
        self._after_s, self._most = after_s, most
        self._next: asyncio.Event | None = None
        self._waiting = 0

    async def wait(self) -> None:
        """Return when the next leave."""
        departure = self._next
        if departure is None:
            departure = self._next = asyncio.Event()
            asyncio.get_running_loop().call_later(self._after_s, self._leave, departure)
        self._waiting += 1
        if self._waiting >= self._most:
            self._leave(departure)
        await departure.wait()

    def _leave(self, departure: asyncio.Event) -> None:
        departure.set()
        if departure is self._next:
            self._next, self._waiting = None, 0


class History:
    """Writes the stream of everything that has happened."""

    def __init__(self, database: Database, publisher: Publisher, *, together: int = TOGETHER_MOST) -> None:
        """Publish with the service's own login, which alone may write there.

        Args:
            together: so many events wait for no more.
        """
        self._database = database
        self._publisher = publisher
        self._departures = Departures(after_s=TOGETHER_S, most=together)
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
        body = kept.model_dump_json().encode()
        await self._departures.wait()
        await self._publisher.send(
            HISTORY_EXCHANGE,
            event.routing_key,
            body=body,
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
