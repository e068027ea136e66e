"""Reads the history: each event once, with the names of people as far as they are known."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from laundry.commands.audit_log import connected
from laundry_events.envelope import decode_any, read_meta
from laundry_events.errors import PermanentError
from laundry_events.event import Event, people_in, with_people
from laundry_events.events import EVENTS, TaskRead, TaskSubmitted
from laundry_events.headers import ATTRIBUTE
from laundry_events.stream_reader import read_stream
from laundry_events.topology import HISTORY
from laundry_servers.errors import LaundryError

BY_TYPE = {event.event_type: event for event in EVENTS}
TIMEOUT_S = 10.0
AT_ONCE = 500
REMEMBERED = 200_000
"""So many ids are remembered. What repeats an event soon is a relay; what does later, an inbox stops."""

CLOCKS_APART = timedelta(minutes=1)
"""The broker says when it stored an event, its service when it happened, and this machine what time it is."""

# Who is to be forgotten is named by the tombstone from the request on: what is told later brings nobody back.
WHO = """
SELECT pseudonym, coalesce(erasures.tombstone, people.person_id, people.tombstone) AS who
FROM history_people AS people
LEFT JOIN erasures ON erasures.person_id = people.person_id AND erasures.completed_at IS NULL
WHERE pseudonym = ANY($1)
"""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is kept of an event while it is judged: not its body, as there may be millions.

    Attributes:
        key: its routing key.
        task: of a photo or its reading, the task and its version.
    """

    id: str
    key: str
    event_type: str
    at: datetime | None
    subject: str
    task: tuple[str, int] | None = None


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

    @property
    def outline(self) -> Outline:
        """What of it tells whether it had its effect."""
        event = self.event
        task = (event.task_id, event.task_version) if isinstance(event, TaskSubmitted | TaskRead) else None
        return Outline(self.id, event.routing_key, event.event_type, self.at, event.subject, task)

    def is_about(self, thing: str) -> bool:
        """Whether it is about a task, a branch or a piece of equipment, by its id."""
        return thing in (self.event.subject, self.branch)

    @property
    def branch(self) -> str | None:
        """The branch that it is of, if it is of one."""
        branch: str | None = getattr(self.event, "branch_id", None)
        return branch


class Names:
    """Replaces pseudonyms by people, and people who were erased by their tombstones."""

    def __init__(self, connection: Any) -> None:
        """Look them up in the database of operations."""
        self._connection = connection

    async def restored(self, happenings: Sequence[Happening]) -> list[Happening]:
        """Return events with the people whom they name at this moment: nothing is remembered for later."""
        meant: set[str] = set().union(*(people_in(each.event) for each in happenings))
        found = await self._connection.fetch(WHO, list(meant)) if meant else []
        known: dict[str, str] = {row["pseudonym"]: row["who"] for row in found if row["who"]}

        def name(pseudonym: str) -> str:
            return known.get(pseudonym, pseudonym)

        return [replace(each, event=with_people(each.event, name)) for each in happenings]


class Seen:
    """The ids of what was told lately."""

    def __init__(self, most: int = REMEMBERED) -> None:
        """Forget the oldest where there are more."""
        self._most = most
        self._ids: dict[str, None] = {}

    def is_new(self, id_: str) -> bool:
        """Whether an id comes for the first time; the next time it does not."""
        if id_ in self._ids:
            return False
        self._ids[id_] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
        return True


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
        stored_since: datetime | None = None,
    ) -> AsyncIterator[list[Happening]]:
        """Yield what is wanted, some at a time in the order in which it was kept, each event once.

        Args:
            since: what happened from then on.
            about: the subject of everything that is wanted, if it has one: the broker then skips most else.
            stored_since: what was stored from then on, whenever it happened.

        Raises:
            LaundryError: the broker or the database does not answer.
        """
        some: list[Happening] = []
        async with aclosing(self._each(wanted, since, until, about, stored_since)) as found:
            async for each in found:
                some.append(each)
                if len(some) >= AT_ONCE:
                    yield await self._names.restored(some)
                    some = []
        if some:
            yield await self._names.restored(some)

    async def outlines(
        self, *, since: datetime | None = None, stored_since: datetime | None = None
    ) -> AsyncIterator[list[Outline]]:
        """Yield the outlines of all events, some at a time. Arguments and errors are those of ``read``."""
        some: list[Outline] = []
        async with aclosing(self._each(lambda _: True, since, None, None, stored_since)) as found:
            async for each in found:
                some.append(each.outline)
                if len(some) >= AT_ONCE:
                    yield some
                    some = []
        yield some

    async def _each(
        self,
        wanted: Callable[[Happening], bool],
        since: datetime | None,
        until: datetime | None,
        about: str | None,
        stored_since: datetime | None,
    ) -> AsyncGenerator[Happening, None]:
        seen = Seen()
        if stored_since is None and since is not None:
            stored_since = since - CLOCKS_APART
        try:
            async with self.connection.channel(publisher_confirms=False) as channel:
                async for message in read_stream(channel, HISTORY, since=stored_since, about=about):
                    happening = _happening(message)
                    if happening is None or not within(happening, since, until) or not wanted(happening):
                        continue
                    # By its id: a relay, a redrive or a replay may have published it more than once.
                    if seen.is_new(happening.id):
                        yield happening
        except (AMQPError, OSError, TimeoutError) as error:
            raise LaundryError(f"The history cannot be read: {type(error).__name__} {error}") from error

    async def all(self, wanted: Callable[[Happening], bool], **bounds: Any) -> list[Happening]:
        """Return everything that is wanted, by time. Arguments and errors are those of ``read``."""
        return by_time([each async for some in self.read(wanted, **bounds) for each in some])


E = TypeVar("E", Happening, Outline)


def by_time(found: Iterable[E]) -> list[E]:
    """Sort events: those close in time may be stored in any order.

    Those without a time stay behind the one before.
    """
    last: datetime | None = None
    keyed = []
    for number, each in enumerate(found):
        last = each.at or last
        keyed.append((last.timestamp() if last else 0.0, number, each))
    return [each for _, _, each in sorted(keyed, key=lambda key: key[:2])]


def within(found: Happening | Outline, since: datetime | None, until: datetime | None) -> bool:
    """Whether an event happened from ``since`` on and before ``until``."""
    at = found.at
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
