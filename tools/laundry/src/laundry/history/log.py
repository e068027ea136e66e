"""Reads the history: each event once, with the names of people as far as they are known."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from laundry.commands.audit_log import connected
from laundry_events.envelope import decode_any, read_meta
from laundry_events.errors import PermanentError
from laundry_events.event import Event, people_in, with_people
from laundry_events.events import EVENTS
from laundry_events.headers import ATTRIBUTE
from laundry_events.stream_reader import read_stream
from laundry_events.topology import HISTORY
from laundry_servers.errors import LaundryError

BY_TYPE = {event.event_type: event for event in EVENTS}
TIMEOUT_S = 10.0
AT_ONCE = 500
WHO = "SELECT pseudonym, coalesce(person_id, tombstone) AS who FROM history_people WHERE pseudonym = ANY($1)"


@dataclass(frozen=True)
class Happening:
    """One event as the history has it.

    Attributes:
        at: when it happened by its service's clock; None if its message does not say.
        headers: those that its message had: CloudEvents' attributes and the trace.
    """

    id: str
    event: Event
    at: datetime | None
    source: str
    headers: dict[str, str]

    def is_about(self, thing: str) -> bool:
        """Whether it is about a task, a branch or a piece of equipment, by its id."""
        return thing in (self.event.subject, getattr(self.event, "branch_id", None))


class Names:
    """Replaces pseudonyms by people, and people who were erased by their tombstones."""

    def __init__(self, connection: Any) -> None:
        """Look them up in the database of operations."""
        self._connection = connection
        self._known: dict[str, str] = {}

    async def restored(self, happenings: Sequence[Happening]) -> list[Happening]:
        """Return the event with the people who it names."""
        meant: set[str] = set().union(*(people_in(each.event) for each in happenings))
        if missing := meant - self._known.keys():
            found = await self._connection.fetch(WHO, list(missing))
            self._known |= {row["pseudonym"]: row["who"] for row in found if row["who"]}
        return [replace(each, event=with_people(each.event, self._name)) for each in happenings]

    def _name(self, pseudonym: str) -> str:
        return self._known.get(pseudonym, pseudonym)


class Log:
    """The history at one broker; each read starts from the beginning."""

    def __init__(self, connection: AbstractConnection, names: Names) -> None:
        self.connection = connection
        self._names = names

    async def read(
        self,
        wanted: Callable[[Happening], bool],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        about: str | None = None,
    ) -> AsyncIterator[list[Happening]]:
        """Yield what is wanted, some at a time in the order in which it was kept, each event once.

        Args:
            about: the subject of everything that is wanted, if it has one: the broker then skips most else.

        Raises:
            LaundryError: the broker or the database does not answer.
        """
        seen: set[str] = set()
        some: list[Happening] = []
        try:
            async with self.connection.channel(publisher_confirms=False) as channel:
                async for message in read_stream(channel, HISTORY, since=since, about=about):
                    happening = _happening(message)
                    if happening is None or happening.id in seen or not _within(happening, since, until):
                        continue
                    # By its id: a relay, a redrive or a replay may have published it more than once.
                    seen.add(happening.id)
                    if wanted(happening):
                        some.append(happening)
                    if len(some) >= AT_ONCE:
                        yield await self._names.restored(some)
                        some = []
        except (AMQPError, OSError, TimeoutError) as error:
            raise LaundryError(f"The history cannot be read: {type(error).__name__} {error}") from error
        if some:
            yield await self._names.restored(some)

    async def all(self, wanted: Callable[[Happening], bool], **bounds: Any) -> list[Happening]:
        """Return everything that is wanted, by time. Arguments and errors are those of ``read``."""
        found = [each async for some in self.read(wanted, **bounds) for each in some]
        # Events close in time may be stored in any order. Those without a time stay behind the one before.
        last: datetime | None = None
        keys = []
        for number, each in enumerate(found):
            last = each.at or last
            keys.append((last.timestamp() if last else 0.0, number))
        return [each for _, each in sorted(zip(keys, found, strict=True), key=lambda pair: pair[0])]


def _within(happening: Happening, since: datetime | None, until: datetime | None) -> bool:
    at = happening.at
    return at is None or ((since is None or at >= since) and (until is None or at < until))


def _happening(message: AbstractIncomingMessage) -> Happening | None:
    """Read one message; None if it is of a release that this one does not know."""
    with suppress(PermanentError):
        key = message.routing_key or ""
        meta = read_meta(message.headers, queue=HISTORY, routing_key=key, redelivered=False)
        kept = {
            name: str(value)
            for name, value in message.headers.items()
            if ATTRIBUTE.fullmatch(name) or name == "traceparent"
        }
        event = decode_any(message.body, meta, BY_TYPE)
        return Happening(meta.id, event, meta.time, meta.source.strip("/"), kept)
    return None


@asynccontextmanager
async def opened(amqp_urls: Collection[str], operations_url: str) -> AsyncIterator[Log]:
    """Open the history at the first broker node that answers.

    Args:
        operations_url: the database that tells whom the history means.

    Raises:
        LaundryError: no node, or not the database, answers.
    """
    problems: list[str] = []
    for url in amqp_urls:
        try:
            connection = await aio_pika.connect(url, timeout=TIMEOUT_S)
            break
        except (AMQPError, OSError, TimeoutError) as error:
            problems.append(f"{type(error).__name__} {error}".strip())
    else:
        raise LaundryError(f"No broker answers ({'; '.join(problems)}). See: laundry status")
    async with connection, connected("operations", operations_url) as database:
        yield Log(connection, Names(database))
