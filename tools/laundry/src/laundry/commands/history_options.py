"""What ``laundry history`` and ``laundry replay`` share: options, and where they look."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import typer
from aio_pika.exceptions import AMQPError

from laundry import management
from laundry.commands import audit_log
from laundry.history.doubts import Doubts
from laundry.history.effects import JUDGED, Effects, Places, effects_of, is_judged
from laundry.history.log import CLOCKS_APART, Log, Outline, by_time, opened, within
from laundry.history.sieve import Sieve
from laundry_catalogue import SERVICES, Need
from laundry_dead_letters.actions import Bounds, Tally, look
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, Selection
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

T = TypeVar("T")
SCAN = 100_000
PAUSES_S = (3.0, 1.0, 1.0, 1.0, 1.0)
AmqpUrl = Annotated[
    str | None,
    typer.Option(
        "--amqp-url",
        envvar="LAUNDRY_AMQP_URL",
        help="amqp://user:password@host:port/vhost of another broker than the stack's, an administrator's; "
        "nodes with commas.",
        show_default=False,
        show_envvar=True,
    ),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        "--management-url",
        help=f"http://user:password@host:port of that broker ({management.VARIABLE}).",
        show_default=False,
    ),
]


class EventHistory:
    """Where a command finds the history and the effects of its events."""

    def __init__(self, amqp_url: str | None, management_url: str | None, *, plan: Plan = PLAN) -> None:
        """Use the broker at these addresses, else the local stack's.

        Raises:
            LaundryError: they are not all of one system.
        """
        both = (management.VARIABLE, management.AMQP_VARIABLE)
        elsewhere = management.named(*both, management_url=management_url, amqp_url=amqp_url)
        if elsewhere and not os.environ.get(audit_log.VARIABLE):
            raise LaundryError(
                "Another broker than the local stack's is named. Name the databases beside it, too: "
                f'{audit_log.VARIABLE}=\'{{"<service>": "postgresql://..."}}\''
            )
        self._amqp_urls = management.amqp_urls(amqp_url)
        self._broker = management.target(management_url)
        services = [each.name for each in SERVICES if Need.DATABASE in each.needs]
        self._databases = audit_log.databases(services, spared=audit_log.REPLACEABLE)
        self.without = [each for each in services if each not in self._databases]
        self.places = Places(self._databases, self._totals, self._dead_in, plan=plan)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """Open the history. Raises LaundryError."""
        async with opened(self._amqp_urls, self._databases["operations"]) as log:
            yield log

    async def unhandled(self, log: Log, since: datetime | None, until: datetime | None) -> "Unhandled":
        """Find what never had its effect; what seems so is looked at again, as it may have been on its way.

        It is read to the end, whatever ``until`` says: a reading may come after it, and tells of a photo from
        before.

        Raises:
            LaundryError: the broker or a database does not answer.
        """
        began, number, sieve = datetime.now(UTC), 0, Sieve(self.places)
        since = max(since, began - JUDGED) if since else began - JUDGED
        async for some in log.outlines(since=since):
            number += sum(within(each, since, until) for each in some)
            await sieve.take(some)
        await sieve.sift()
        left = by_time(sieve.left)
        doubts = Doubts(await effects_of(left, self.places, sieve.answers))
        for pause_s in PAUSES_S:
            if not (places := doubts.places):
                break
            await asyncio.sleep(pause_s)
            # With what was stored since, whenever it happened: answers, and what is waiting by now.
            ids = {id_ for _, id_ in places}
            stored = log.outlines(stored_since=began - CLOCKS_APART)
            later = [each async for some in stored for each in some if each.id not in ids]
            doubtful = [each for each in left if each.id in ids]
            doubts.look(await effects_of([*doubtful, *later], self.places, sieve.answers))
        found = doubts.settle()
        judged = [each for each in left if within(each, since, until)]
        ids, plan = {each.id for each in judged}, self.places.plan
        unsure = Counter(
            queue
            for (queue, id_), state in found.states.items()
            if state == "unknown" and id_ in ids and is_judged(plan.queue(queue), self.places)
        )
        return Unhandled(number, judged, found, unsure)

    async def _totals(self) -> dict[str, int]:
        names = [name for queue in self.places.plan.queues if queue.dead for name in queue.limits]
        totals = await asyncio.to_thread(partial(management.queue_totals, self._broker, of=names))
        return {name: int(queue.get("messages", 0)) for name, queue in totals.items()}

    async def _dead_in(self, queue: str) -> tuple[set[str], int]:
        found: set[str] = set()
        tally = Tally()

        def note(letter: DeadLetter) -> None:
            if letter.message_id:
                found.add(letter.message_id)

        try:
            async with connected(self._amqp_urls) as broker:
                await look(broker, queue, Selection(), Bounds(SCAN), tally, handle=note)
        except DeadLetterError as error:
            raise LaundryError(str(error)) from error
        return found, tally.looked_at


@dataclass(frozen=True)
class Unhandled:
    """What may have had no effect, and what became of it.

    Attributes:
        number: of all events that were looked at.
        unsure: of how many events, by queue, it could not be told.
    """

    number: int
    left: Sequence[Outline]
    effects: Effects
    unsure: Mapping[str, int]

    def of(self, queue: str) -> list[Outline]:
        """Return what is unhandled in a queue, oldest first."""
        unhandled = self.effects.unhandled
        return [each for each in self.left if (queue, each.id) in unhandled]

    @property
    def queues(self) -> list[str]:
        """Return the queues that something is unhandled in."""
        ids = {each.id for each in self.left}
        return sorted({queue for queue, id_ in self.effects.unhandled if id_ in ids})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work. Raises LaundryError if the broker goes away."""
    try:
        return asyncio.run(work)
    except (AMQPError, OSError, TimeoutError) as error:
        raise LaundryError(
            f"The broker did not answer: {type(error).__name__} {error}. It is safe to begin again."
        ) from error
