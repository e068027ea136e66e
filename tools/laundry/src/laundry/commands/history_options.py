"""What ``laundry history`` and ``laundry replay`` share: options, and where they look."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import typer
from aio_pika.exceptions import AMQPError

from laundry import management
from laundry.commands import audit_log
from laundry.history.doubts import Doubts
from laundry.history.effects import RECENT, Effects, Places, effects_of
from laundry.history.log import Happening, Log, opened
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
        self._databases = audit_log.databases(each.name for each in SERVICES if Need.DATABASE in each.needs)
        self._plan = plan

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """Open the history. Raises LaundryError."""
        async with opened(self._amqp_urls, self._databases["operations"]) as log:
            yield log

    async def effects(self, happenings: Sequence[Happening]) -> Effects:
        """Find out what became of events. Raises LaundryError."""
        return await effects_of(
            happenings, Places(self._databases, self._totals, self._dead_in, plan=self._plan)
        )

    async def unhandled(self, log: Log, since: datetime | None, until: datetime | None) -> "Unhandled":
        """Find what never had its effect; what seems so is looked at again, as it may have been on its way.

        Raises:
            LaundryError: the broker or a database does not answer.
        """
        began = datetime.now(UTC)
        found = await self._look(log, since, until)
        doubts = Doubts(found.effects)
        for pause_s in PAUSES_S:
            if not (places := doubts.places):
                break
            await asyncio.sleep(pause_s)
            # With what came since: answers, and what is waiting by now.
            ids = {id_ for _, id_ in places}
            later = [
                each for each in await log.all(lambda _: True, since=began - RECENT) if each.id not in ids
            ]
            doubtful = [each for each in found.happenings if each.id in ids]
            doubts.look(await self.effects([*doubtful, *later]))
        return Unhandled(found.happenings, doubts.settle())

    async def _look(self, log: Log, since: datetime | None, until: datetime | None) -> "Unhandled":
        happenings = await log.all(lambda _: True, since=since, until=until)
        return Unhandled(happenings, await self.effects(happenings))

    async def _totals(self) -> dict[str, int]:
        living = [queue for queue in PLAN.queues if queue.kind == "quorum"]
        names = [name for queue in living for name in (queue.name, *(name for name, _ in queue.retries))]
        totals = await asyncio.to_thread(partial(management.queue_totals, self._broker, of=names))
        return {name: int(queue.get("messages", 0)) for name, queue in totals.items()}

    async def _dead_in(self, queue: str) -> set[str]:
        found: set[str] = set()

        def note(letter: DeadLetter) -> None:
            if letter.message_id:
                found.add(letter.message_id)

        try:
            async with connected(self._amqp_urls) as broker:
                await look(broker, queue, Selection(), Bounds(SCAN), Tally(), handle=note)
        except DeadLetterError as error:
            raise LaundryError(str(error)) from error
        return found


class Unhandled:
    """Events with what became of them, where some may have had no effect."""

    def __init__(self, happenings: Sequence[Happening], effects: Effects) -> None:
        self.happenings = happenings
        self.effects = effects

    def of(self, queue: str) -> list[Happening]:
        """Return what is unhandled in a queue, oldest first."""
        return [each for each in self.happenings if (queue, each.id) in self.effects.unhandled]

    @property
    def queues(self) -> list[str]:
        """Return the queues that something is unhandled in."""
        return sorted({queue for queue, _ in self.effects.unhandled})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work. Raises LaundryError if the broker goes away."""
    try:
        return asyncio.run(work)
    except (AMQPError, OSError, TimeoutError) as error:
        raise LaundryError(
            f"The broker did not answer: {type(error).__name__} {error}. It is safe to begin again."
        ) from error
