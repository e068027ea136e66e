"""What must hold after every fault, whatever it was. Compares the ledger with the system's own stores."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from laundry.bench.stage import Stage
from laundry.faults.load import Load
from laundry.management import queue_totals
from laundry_dead_letters.broker import connected
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.topology import MAX_ATTEMPTS, PLAN

SETTLE_S = 90.0
QUIET_S = 0.5
SCAN = 20_000


@dataclass
class Findings:
    """What the ledger and the system say about each other once nothing is under way any more.

    Attributes:
        missing: promised tasks that the system does not know; strange: known ones that nobody was promised.
        doubled: effects that were had more than once.
        silent, repeated: faults with no alert on the phone, and with more than one.
        unserved: queues in which something waits, or which nobody reads.
        settled_s: seconds from the end of the fault until everything was quiet; None if it never was.
    """

    accepted: int = 0
    done: int = 0
    dead: int = 0
    pending: int = 0
    missing: int = 0
    strange: int = 0
    doubled: int = 0
    most_attempts: int = 0
    silent: int = 0
    repeated: int = 0
    unserved: list[str] = field(default_factory=list)
    settled_s: float | None = None

    @property
    def problems(self) -> list[str]:
        """Every invariant that does not hold, in words."""
        found = []
        if self.settled_s is None:
            found.append(f"not quiet within {SETTLE_S:.0f} s")
        if self.accepted != self.done + self.dead + self.pending:
            found.append(
                f"{self.accepted} accepted ≠ {self.done} done + {self.dead} dead + {self.pending} pending"
            )
        for count, text in (
            (self.pending, "accepted and never read"),
            (self.missing, "accepted and unknown"),
            (self.strange, "tasks that nobody was promised"),
            (self.doubled, "effects had twice"),
            (self.silent, "faults without an alert"),
            (self.repeated, "faults with two alerts"),
        ):
            if count:
                found.append(f"{count} {text}")
        if self.most_attempts > MAX_ATTEMPTS:
            found.append(f"{self.most_attempts} attempts")
        return found + [f"{name} is not served" for name in self.unserved]


async def settle(stage: Stage, load: Load) -> float | None:
    """Wait until no queue but the dead letters and no outbox holds anything, and all are read."""
    began = time.monotonic()
    quiet_since: float | None = None
    while time.monotonic() - began < SETTLE_S:
        quiet = False
        with suppress(httpx.HTTPError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            quiet = not await _waiting(stage) and not await _outboxes(stage)
        if not quiet:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= QUIET_S:
            return quiet_since - began
        await asyncio.sleep(0.25)
    return None


async def look(stage: Stage, load: Load) -> Findings:
    """Compare, once everything is quiet."""
    found = Findings(settled_s=await settle(stage, load))
    promised = load.ledger.accepted_ids
    rows = await _tasks(stage, load.branch)
    dead = await dead_letters(stage)
    dead_tasks = {each["task_id"] for each in dead if each["task_id"] in promised}
    found.accepted = len(promised)
    found.missing = len(promised - rows.keys())
    # A photo whose sender never got an answer may be a task; one that was never sent may not.
    found.strange = max(0, len(rows.keys() - promised) - len(load.ledger.unanswered))
    done = {name for name in promised & rows.keys() if rows[name]["status"] != "submitted"}
    found.done = len(done)
    found.dead = len(dead_tasks - done)
    found.pending = found.accepted - found.missing - len(done | dead_tasks)
    # Version 1 is the registration; a reading makes it 2, and a second effect would make it 3.
    found.doubled = sum(row["version"] > 2 for row in rows.values())
    found.most_attempts = max((each["attempts"] for each in dead), default=0)
    alerts = Counter(await shown(stage, load.phone))
    taken = load.ledger.alarms.keys()
    found.silent = len(taken - alerts.keys())
    found.repeated = sum(count > 1 for name, count in alerts.items() if name in taken)
    found.unserved = await _unserved(stage)
    return found


async def _waiting(stage: Stage) -> dict[str, int]:
    totals = await asyncio.to_thread(queue_totals, stage.broker)
    living = [queue for queue in PLAN.queues if queue.kind != "stream"]
    names = [name for queue in living for name in (queue.name, *(retry for retry, _ in queue.retries))]
    return {name: totals[name]["messages"] for name in names if totals[name]["messages"]}


async def _unserved(stage: Stage) -> list[str]:
    """Name queues where messages wait, and main queues without a reader."""
    broker = stage.broker
    async with httpx.AsyncClient(
        base_url=broker.management_url, auth=(broker.username, broker.password), timeout=10
    ) as client:
        for _ in range(20):
            unread = []
            for queue in PLAN.queues:
                if queue.kind == "stream":
                    continue
                answer = await client.get(f"/api/queues/laundry/{queue.name}")
                answer.raise_for_status()
                if not answer.json().get("consumer_details"):
                    unread.append(queue.name)
            waiting = await _waiting(stage)
            if not unread and not waiting:
                return []
            # The list of consumers is a statistic, seconds old.
            await asyncio.sleep(0.5)
    return sorted({*unread, *waiting})


async def _outboxes(stage: Stage) -> int:
    total = 0
    for url in stage.document["postgres_urls"].values():
        async with asyncio.timeout(5):
            connection = await asyncpg.connect(url)
            try:
                if await connection.fetchval("SELECT to_regclass('outbox') IS NOT NULL"):
                    total += int(await connection.fetchval("SELECT count(*) FROM outbox"))
            finally:
                await connection.close(timeout=1)
    return total


async def _tasks(stage: Stage, branch: str) -> dict[str, Mapping[str, Any]]:
    connection = await asyncpg.connect(stage.document["postgres_urls"]["helper"], timeout=10)
    try:
        rows = await connection.fetch("SELECT id, status, version FROM tasks WHERE branch_id = $1", branch)
    finally:
        await connection.close(timeout=1)
    return {str(row["id"]): dict(row) for row in rows}


async def dead_letters(stage: Stage) -> list[dict[str, Any]]:
    """Return queue, message id, task id, attempts and reason of each dead letter; all stay where they are."""
    found = []
    async with connected(stage.document["amqp_urls"]) as broker:
        for queue in PLAN.queues:
            if queue.kind == "stream":
                continue
            with suppress(DeadLetterError):
                async with broker.walk(queue.name, scan=SCAN) as letters:
                    async for taken in letters:
                        found.append(_known(queue.name, taken.letter))
    return found


def _known(queue: str, letter: Any) -> dict[str, Any]:
    task_id = None
    with suppress(ValueError, TypeError, AttributeError):
        task_id = json.loads(letter.body).get("task_id")
    return {
        "queue": queue,
        "message_id": letter.message_id,
        "task_id": task_id,
        "attempts": int(letter.headers.get("x-attempts") or 0),
        "reason": str(letter.headers.get("x-dead-reason") or letter.headers.get("x-error-class") or ""),
    }


async def shown(stage: Stage, phone: str) -> list[str]:
    """Return the equipment of each alert of a reported fault that a phone shows.

    An alert with the tag of another replaces it. That a washer fell silent later is another fault.
    """
    async with stage.client("fcm") as fcm:
        messages = (await fcm.get("/messages", params={"token": phone})).json()
    alerts = {m["data"].get("event_id", m["data"].get("notification_id")): m["data"] for m in messages}
    return [str(data.get("equipment_id")) for data in alerts.values() if data.get("fault_code")]
