"""Looks for what could bring a person back: earlier messages, and dead letters that name the person."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from aio_pika.exceptions import AMQPError

from laundry_dead_letters.actions import Bounds, Tally, look
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, Selection
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.events import PersonForgotten
from laundry_events.plan import Plan, Queue, dead_queue
from laundry_events.topology import PERSON_ERASED
from operations.erasures import Backlog, Surroundings, is_drained, names_person
from operations.management import Management
from operations.queue_health import Ages, Counts
from operations.repository import Store

WAIT_S = 8.0
LOOK_S = 60.0
UNKNOWN = Counts("", known=False)


class NotLookedAt(Exception):
    """The dead letters cannot be read just now."""


class PeopleInQueues:
    """Reads the queues' counts and the dead letters; both stay as they are."""

    def __init__(
        self,
        amqp_url: str,
        store: Store,
        management: Management,
        ages: Ages,
        *,
        scan: int,
        lag_s: float,
        plan: Plan,
    ) -> None:
        """Look at up to ``scan`` letters of a queue; the broker's counts are up to ``lag_s`` old."""
        self._urls = [amqp_url]
        self._store = store
        self._management = management
        self._ages = ages
        self._scan = scan
        self._lag_s = lag_s
        self._queues = [queue for queue in plan.queues if queue.dead is not None]

    async def look(self, person: str, since: datetime | None) -> Surroundings:
        """Look for a person of whom nothing from before ``since`` may wait; None if no moment is known.

        Counts are read before the letters and after them: what dies meanwhile is found where it was, and what
        is sent back where it goes.

        Raises:
            ManagementAway, NotLookedAt: the broker does not answer.
        """
        before = await self._management.queues()
        letters = await self._letters(person, before)
        if letters != 0 or since is None:
            return Surroundings(letters, drained=False)
        # Who sends a letter back notes it before it is gone. Those between two looks were seen by neither.
        sent_back = await self._store.last_sent_back()
        since = max(since, sent_back) if sent_back else since
        settled_s = (datetime.now(UTC) - since).total_seconds()
        after = await self._management.queues()
        backlogs = [*self._backlogs(before), *self._backlogs(after)]
        return Surroundings(letters, is_drained(backlogs, settled_s, lag_s=self._lag_s))

    def _backlogs(self, counts: Mapping[str, Counts]) -> list[Backlog]:
        # A request to forget somebody names nobody else, and its answers name nobody.
        harmless = ((PERSON_ERASED,), (PersonForgotten.routing_key,))
        return [self._backlog(queue, counts) for queue in self._queues if queue.keys not in harmless]

    def _backlog(self, queue: Queue, counts: Mapping[str, Counts]) -> Backlog:
        now = time.monotonic()
        main, *retries = (
            counts.get(name, UNKNOWN) for name in (queue.name, *(name for name, _ in queue.retries))
        )
        age = self._ages.oldest(main, now)
        unsure = age is not None and age.bound == "at_least"
        if unsure or not main.known or any(each.messages or not each.known for each in retries):
            return Backlog(None, 0.0)
        quiet_s = (
            self._ages.quiet_s(each, now) - delay_ms / 1000
            for each, (_, delay_ms) in zip(retries, queue.retries, strict=True)
        )
        return Backlog(age.seconds if age else 0.0, min(quiet_s))

    async def _letters(self, person: str, counts: Mapping[str, Counts]) -> int | None:
        number, whole = 0, True
        for queue in (each.name for each in self._queues):
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
            # What somebody else holds, as `laundry dlq` does, no walk meets; but it is counted.
            there = counts.get(dead_queue(queue), UNKNOWN)
            whole = whole and there.known and tally.looked_at >= max(tally.waiting, there.messages)
        return number if whole else None
