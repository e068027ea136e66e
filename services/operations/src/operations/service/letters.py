"""Reads dead letters for many callers at once: one walk serves all who ask within two seconds."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from laundry_dead_letters.actions import Bounds, Tally, look
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, Selection
from laundry_events.headers import clean
from operations.repository import Store

FRESH_S = 2.0
WAIT_S = 8.0
# A request waits for the answer; whatever was read by then is returned.
LOOK_S = 3.0
FIND_S = 15.0


class QueueBusy(Exception):
    """Somebody else holds the queue's dead letters for longer than anyone should wait."""


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """What is kept of a letter for lists: not its body, which may be 64 KiB."""

    queue: str
    id: str
    fingerprint: str
    reason: str
    error_class: str
    error_message: str
    event_type: str
    died_at: datetime | None
    attempts: int | None
    redriven: int
    trace_id: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The dead letters of a queue at one moment; fewer than wait there when there are too many to look at."""

    queue: str
    waiting: int
    letters: tuple[LetterSummary, ...]
    as_of: datetime
    taken_at: float


def summary_of(letter: DeadLetter) -> LetterSummary:
    """Reduce a letter to what lists show."""
    return LetterSummary(
        queue=letter.queue,
        id=letter.message_id or letter.fingerprint,
        fingerprint=letter.fingerprint,
        reason=letter.reason,
        error_class=letter.error_class,
        error_message=letter.error_message[:300],
        event_type=clean(letter.headers.get("cloudEvents_type", ""), 200),
        died_at=letter.died_at,
        attempts=letter.attempts,
        redriven=letter.redriven,
        trace_id=letter.trace_id,
        bytes=len(letter.body),
    )


class LetterReader:
    """Reads queue by queue, and never while a job or another replica holds the queue."""

    def __init__(self, amqp_url: str, store: Store, *, scan: int) -> None:
        self._urls = [amqp_url]
        self._store = store
        self._scan = scan
        self._locks: dict[str, asyncio.Lock] = {}
        self._kept: dict[str, Snapshot] = {}

    async def snapshots(self, queues: Sequence[str]) -> list[Snapshot]:
        """Return what waits in each queue.

        Raises:
            BrokerAway, QueueBusy, DeadLetterError
        """
        return [await self._snapshot(queue) for queue in queues]

    def forget(self, queue: str) -> None:
        """Look again the next time: something was done to the queue."""
        self._kept.pop(queue, None)

    async def _snapshot(self, queue: str) -> Snapshot:
        async with self._locks.setdefault(queue, asyncio.Lock()):
            kept = self._kept.get(queue)
            if kept is not None and time.monotonic() - kept.taken_at < FRESH_S:
                return kept
            found: list[LetterSummary] = []
            tally = Tally()
            async with self._store.holding(queue, wait_s=WAIT_S) as got:
                if not got:
                    if kept is not None:
                        return kept
                    raise QueueBusy(queue)
                async with connected(self._urls) as broker:
                    await look(
                        broker,
                        queue,
                        Selection(),
                        Bounds(self._scan, seconds=LOOK_S),
                        tally,
                        handle=lambda letter: found.append(summary_of(letter)),
                    )
            snapshot = Snapshot(queue, tally.waiting, tuple(found), datetime.now(UTC), time.monotonic())
            self._kept[queue] = snapshot
            return snapshot

    async def letter(self, queue: str, id_: str) -> DeadLetter | None:
        """Find one letter by its message id or fingerprint, with its body."""
        found: list[DeadLetter] = []

        def keep(letter: DeadLetter) -> None:
            if not found and id_ in (letter.message_id, letter.fingerprint):
                found.append(letter)

        async with self._store.holding(queue, wait_s=WAIT_S) as got:
            if not got:
                raise QueueBusy(queue)
            async with connected(self._urls) as broker:
                bounds = Bounds(self._scan, seconds=FIND_S)
                await look(broker, queue, Selection(), bounds, Tally(), handle=keep)
        return found[0] if found else None
