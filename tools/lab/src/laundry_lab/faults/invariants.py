"""Compares the ledger with the system's stores after every fault."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import asyncpg
import httpx

from laundry.management import QueuesUnknown, queue_totals
from laundry_events.topology import HISTORY_INTAKE, PLAN
from laundry_lab.bench.stage import Stage
from laundry_lab.faults.attempts import Attempts
from laundry_lab.faults.dead_letters import dead_letters
from laundry_lab.faults.effects import look_at, rows
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.load import USUAL_RATE, Load

SETTLE_S = 90.0
QUIET_S = 0.5
RECOUNTED_S = 10.0
SEEN_S = 20.0
"""Within it what was promised is done, once no queue is said to hold anything."""

PHOTO_QUEUES = ("task.submitted", "task.read")
PHOTOS = "SELECT count(*) AS waiting FROM outbox WHERE routing_key = 'task.submitted'"
OUTBOX = "SELECT to_regclass('outbox') IS NOT NULL AS there"
WAITING = "SELECT count(*) AS waiting FROM outbox"
T = TypeVar("T")
AWAY = (
    httpx.HTTPError,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    QueuesUnknown,
)


@dataclass
class Invariants:
    """What must hold after every fault; each breach is reported once, with the fault that caused it."""

    stage: Stage
    load: Load
    attempts: Attempts
    _older: set[tuple[str, str]] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)

    @property
    def settle_s(self) -> float:
        """How long it may take until nothing waits: of more photos a second, more do after a fault."""
        return SETTLE_S * max(1.0, self.load.rate / USUAL_RATE)

    async def begin(self) -> None:
        """Remember the dead letters that are there already: none of them counts against this run."""
        self._older = {letter.place for letter in await dead_letters(self.stage)}

    async def check(self, *, kills: bool = False) -> Findings:
        """Wait until the queues are empty, then compare what was promised with what the stores hold.

        Args:
            kills: whether messages that the fault published itself may have died.
        """
        stage, ledger = self.stage, self.load.ledger
        began = time.monotonic()
        settled_s = await settle(stage, self.settle_s)
        found = Findings(settled_s=settled_s, waited_s=self.settle_s, load=list(self.load.broken))
        promised, quiet_at = ledger.accepted_ids, time.monotonic()
        while True:
            effects = await look_at(stage, self.load)
            letters = [one for one in await dead_letters(stage) if one.place not in self._older]
            done = {name for name in promised if effects.tasks.get(name, "submitted") != "submitted"}
            dead = {letter.task_id for letter in letters if letter.task_id in promised} - done
            nowhere = promised - done - dead
            missed = {f"lost {name}" for name in nowhere} | {f"silent {name}" for name in effects.silent}
            done_waiting = found.settled_s is None or time.monotonic() - quiet_at > SEEN_S
            if done_waiting or not missed - self._told:
                break
            # A broker whose queues have other leaders now counts what waits as nothing for a few seconds.
            await asyncio.sleep(0.5)
            found.settled_s = time.monotonic() - began
        found.accepted, found.done, found.dead = len(promised), len(done), len(dead)
        found.pending = await _once_recounted(partial(photos_waiting, stage))
        found.promises = {
            "photos": len(promised),
            "faults": len(ledger.alarms),
            "confirmations": len(ledger.confirmed),
            "preferences": len(ledger.stated),
        }
        # A photo whose sender never got an answer may be a task; one never sent may not.
        found.strange = max(0, len(effects.tasks.keys() - promised) - len(ledger.unanswered))
        # Which of them the waiting messages are about is not asked: none may wait.
        if len(nowhere) > found.pending:
            found.lost = self._new("lost", nowhere)
        found.killed = self._new(
            "killed",
            (
                f"{letter.message_id} in {letter.queue} ({letter.reason})"
                for letter in letters
                if not (kills and letter.own)
            ),
        )
        found.doubled = self._new("doubled", effects.doubled)
        found.silent = self._new("silent", effects.silent)
        found.repeated = self._new("repeated", effects.repeated)
        found.most_attempts = max((letter.attempts for letter in letters), default=0)
        found.most_attempts = max(found.most_attempts, await asyncio.to_thread(self.attempts.most))
        found.unserved = await unserved(stage)
        # Expected dead letters must not be blamed on the next fault.
        self._older |= {letter.place for letter in letters if letter.own}
        return found

    def _new(self, kind: str, names: Iterable[str]) -> list[str]:
        fresh = sorted({name for name in names if f"{kind} {name}" not in self._told})
        self._told |= {f"{kind} {name}" for name in fresh}
        return fresh


async def settle(stage: Stage, within_s: float) -> float | None:
    """Wait until no queue but the dead letters and no outbox holds anything; None if it never was so."""
    began = time.monotonic()
    quiet_since: float | None = None
    while time.monotonic() - began < within_s:
        quiet = False
        with suppress(*AWAY):
            quiet = not await _waiting(stage) and not await _outboxes(stage)
        if not quiet:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= QUIET_S:
            return quiet_since - began
        await asyncio.sleep(0.25)
    return None


async def photos_waiting(stage: Stage) -> int:
    """Count what is under way between a photo and its reading: in queues, retry queues and the outbox."""
    waiting = await _waiting(stage)
    queues = [PLAN.queue(name) for name in PHOTO_QUEUES]
    names = [name for queue in queues for name in (queue.name, *(retry for retry, _ in queue.retries))]
    in_outbox = int((await rows(stage, "helper", PHOTOS))[0]["waiting"])
    return in_outbox + sum(waiting.get(name, 0) for name in names)


async def unserved(stage: Stage) -> list[str]:
    """Name queues where messages wait, and main queues without a reader."""
    broker = stage.broker
    async with httpx.AsyncClient(
        base_url=broker.management_url,
        auth=(broker.username, broker.password),
        timeout=10,
        verify=stage.tls or True,
    ) as client:

        async def look() -> list[str]:
            found = set(await _waiting(stage))
            for queue in PLAN.queues:
                if queue.kind == "stream":
                    continue
                answer = await client.get(f"/api/queues/laundry/{queue.name}")
                answer.raise_for_status()
                if not answer.json().get("consumer_details"):
                    found.add(queue.name)
            return sorted(found)

        return await _once_recounted(look)


async def _once_recounted(look: Callable[[], Awaitable[T]]) -> T:
    """Look until nothing is found, or for long enough: what the broker counts is a statistic, seconds old."""
    ends_at = time.monotonic() + RECOUNTED_S
    while True:
        found = await look()
        if not found or time.monotonic() >= ends_at:
            return found
        await asyncio.sleep(0.5)


async def _waiting(stage: Stage) -> dict[str, int]:
    living = [queue for queue in PLAN.queues if queue.kind != "stream"]
    names = [name for queue in living for name in (queue.name, *(retry for retry, _ in queue.retries))]
    totals = await asyncio.to_thread(partial(queue_totals, stage.broker, of=names))
    # What is on its way into the history waits for others there.
    counted = {name: "messages_ready" if name == HISTORY_INTAKE else "messages" for name in names}
    return {name: count for name in names if (count := int(totals[name][counted[name]]))}


async def _outboxes(stage: Stage) -> int:
    total = 0
    for service in stage.document["postgres_urls"]:
        async with asyncio.timeout(5):
            if (await rows(stage, service, OUTBOX))[0]["there"]:
                total += int((await rows(stage, service, WAITING))[0]["waiting"])
    return total
