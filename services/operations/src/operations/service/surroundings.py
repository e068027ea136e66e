"""Looks for what could bring a person back: earlier messages, and dead letters that name the person."""

import time

from aio_pika.exceptions import AMQPError

from laundry_dead_letters.actions import Bounds, Tally, look
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, Selection
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.events import PersonForgotten
from laundry_events.plan import Plan
from laundry_events.topology import PERSON_ERASED
from operations.erasures import Surroundings, is_drained, names_person
from operations.management import Management
from operations.queue_health import Ages
from operations.repository import Store

WAIT_S = 8.0
LOOK_S = 60.0


class NotLookedAt(Exception):
    """The dead letters cannot be read just now."""


class PeopleInQueues:
    """Reads the queues' counts and the dead letters; both stay as they are."""

    def __init__(
        self, amqp_url: str, store: Store, management: Management, ages: Ages, *, scan: int, plan: Plan
    ) -> None:
        """Look at up to ``scan`` letters of a queue."""
        self._urls = [amqp_url]
        self._store = store
        self._management = management
        self._ages = ages
        self._scan = scan
        self._queues = [queue for queue in plan.queues if queue.dead is not None]

    async def look(self, person: str, settled_s: float) -> Surroundings:
        """Look for a person whose tokens have ended ``settled_s`` seconds ago.

        Raises:
            ManagementAway, NotLookedAt: the broker does not answer.
        """
        counts = await self._management.queues()
        now = time.monotonic()
        oldest = []
        for queue in self._queues:
            # A request to forget somebody names nobody else, and its answers name nobody.
            if queue.keys in ((PERSON_ERASED,), (PersonForgotten.routing_key,)):
                continue
            for name in (queue.name, *(name for name, _ in queue.retries)):
                found = counts.get(name)
                age = None if found is None else self._ages.oldest(found, now)
                if age is not None:
                    oldest.append((age.seconds, age.bound == "at_most"))
        # Each of them, whatever the counts say: these are some seconds old.
        queues = [queue.name for queue in self._queues]
        return Surroundings(await self._letters(person, queues), is_drained(oldest, settled_s))

    async def _letters(self, person: str, queues: list[str]) -> int | None:
        number, whole = 0, True
        for queue in queues:
            found: list[str] = []

            def keep(letter: DeadLetter, found: list[str] = found) -> None:
                headers = "\n".join(str(value) for value in letter.headers.values())
                if names_person(person, [letter.body, headers.encode("utf-8", "replace")]):
                    found.append(letter.fingerprint)

            tally = Tally()
            try:
                async with self._store.holding(queue, wait_s=WAIT_S) as got:
                    if not got:
                        raise NotLookedAt(queue)
                    async with connected(self._urls) as broker:
                        bounds = Bounds(self._scan, seconds=LOOK_S)
                        await look(broker, queue, Selection(), bounds, tally, handle=keep)
            except (DeadLetterError, AMQPError) as error:
                raise NotLookedAt(f"{queue}: {type(error).__name__}") from error
            number += len(found)
            whole = whole and tally.looked_at >= tally.waiting
        return number if whole else None
