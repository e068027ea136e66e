"""HTTP: queues, dead letters and the audit, for operators only."""

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from laundry_dead_letters.actions import exported
from laundry_dead_letters.errors import BrokerAway
from laundry_events.plan import dead_queue
from laundry_events.topology import PLAN
from laundry_service.auth import Principal, require
from laundry_service.cursors import MAX_INTEGER, BadCursor, read_cursor, write_cursor
from laundry_service.problems import Problem
from operations.bodies import AuditPage, GroupOut, LetterOut, LetterPage, LookedOut, QueueOut, QueuePage
from operations.management import Management, ManagementAway
from operations.reading import Head, QueueBusy, Reading, Snapshot
from operations.repository import Store
from operations.warnings import Ages, Counts, warnings

Operator = Annotated[Principal, Depends(require("operator"))]
QUEUES = {queue.name: queue for queue in PLAN.queues if queue.dead}
AGAIN = {"Retry-After": "5"}


def main_queue(name: str) -> str:
    """Return the main queue that is meant. Raises Problem."""
    for queue in QUEUES:
        if name in (queue, dead_queue(queue)):
            return queue
    raise Problem(404, "queue-unknown", f"There is no queue {name[:80]!r}. There are: {', '.join(QUEUES)}.")


def away(error: Exception) -> Problem:
    """Say that the broker, or one queue of it, cannot be looked at now."""
    if isinstance(error, QueueBusy):
        return Problem(
            503, "queue-busy", "Others are at work on this queue. Try again in a moment.", headers=AGAIN
        )
    return Problem(503, "broker-unavailable", "The broker does not answer. Try again shortly.", headers=AGAIN)


def queues_router(management: Management, ages: Ages) -> APIRouter:
    """Make ``/queues``."""
    router = APIRouter(prefix="/queues", tags=["queues"])

    @router.get("")
    async def list_queues(_: Operator) -> QueuePage:
        """Read how full each queue is, how fast it moves, who consumes it, and what is wrong with it."""
        try:
            counts = await management.queues()
        except ManagementAway as error:
            raise Problem(
                503,
                "management-unavailable",
                f"The broker's management API gave no answer ({error}). Try again shortly.",
                headers=AGAIN,
            ) from error
        now = time.monotonic()
        for found in counts.values():
            ages.observe(found, now)
        return QueuePage(items=_queues(counts, ages, now), as_of=datetime.now(UTC))

    return router


def _queues(counts: dict[str, Counts], ages: Ages, now: float) -> list[QueueOut]:
    shown: list[QueueOut] = []
    for queue in PLAN.queues:
        main = counts.get(queue.name, Counts(queue.name, state="missing"))
        dead = counts.get(queue.dead) if queue.dead else None
        stream = queue.kind == "stream"
        age = None if stream else ages.oldest(main, now)
        shown.append(
            QueueOut(
                name=queue.name,
                kind=queue.kind,
                purpose=queue.purpose,
                ready=main.ready,
                unacked=main.unacked,
                publish_rate=main.publish_rate,
                deliver_rate=main.deliver_rate,
                consumers=main.consumers,
                oldest_age_s=age and round(age.seconds, 1),
                oldest_age_bound=age and age.bound,
                state=main.state,
                waiting_for_retry=sum(counts[name].messages for name, _ in queue.retries if name in counts),
                dead_letters=dead.messages if dead else 0,
                warnings=warnings(
                    main,
                    dead,
                    age=age,
                    max_length=queue.max_length,
                    max_bytes=queue.max_bytes,
                    dead_max_bytes=queue.dead_max_bytes,
                    stream=stream,
                ),
            )
        )
    return shown


def letters_router(reading: Reading, store: Store) -> APIRouter:
    """Make what reads ``/dead-letters``."""
    router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

    @router.get("")
    async def list_letters(
        _: Operator,
        queue: str | None = None,
        reason: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> LetterPage:
        """Read dead letters and their reasons. They stay where they are."""
        names = list(QUEUES) if queue is None else [main_queue(queue)]
        try:
            snapshots = await reading.snapshots(names)
        except (BrokerAway, QueueBusy) as error:
            raise away(error) from error
        meant = [
            letter
            for snapshot in snapshots
            for letter in snapshot.letters
            if reason is None or reason in (letter.reason, letter.error_class)
        ]
        start = 0 if cursor is None else _after(meant, cursor)
        shown = meant[start : start + limit]
        more = start + limit < len(meant)
        return LetterPage(
            items=[LetterOut.of(letter) for letter in shown],
            groups=_groups(meant),
            queues=[_looked(snapshot) for snapshot in snapshots],
            next_cursor=_cursor(shown[-1], start + limit) if more else None,
        )

    @router.get("/{queue}/{id}")
    async def get_letter(_: Operator, queue: str, id: str) -> dict[str, Any]:  # noqa: A002 - its name in the path
        """Read one letter: headers, body, why, how often, trace, and what was done to it before."""
        name = main_queue(queue)
        try:
            letter = await reading.letter(name, id)
        except (BrokerAway, QueueBusy) as error:
            raise away(error) from error
        if letter is None:
            raise Problem(404, "letter-unknown", "No such letter waits there now: it was treated or expired.")
        records = await (await store.audit()).newest(message_id=letter.message_id or "", limit=50)
        body = letter.body.decode(errors="replace")
        return {
            **exported(letter),
            "id": letter.message_id or letter.fingerprint,
            "fingerprint": letter.fingerprint,
            "body": body,
            "bytes": len(letter.body),
            "audit": [record for _, record in records],
        }

    return router


def audit_router(store: Store) -> APIRouter:
    """Make ``/audit``."""
    router = APIRouter(prefix="/audit", tags=["audit"])

    @router.get("")
    async def list_audit(
        _: Operator,
        queue: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[int | None, Query(ge=0, le=MAX_INTEGER)] = None,
    ) -> AuditPage:
        """Read who did what to which dead letter, when and why, newest first."""
        name = None if queue is None else main_queue(queue)
        found = await (await store.audit()).newest(before=cursor, queue=name, limit=limit + 1)
        more = found[limit - 1][0] if len(found) > limit else None
        return AuditPage(items=[record for _, record in found[:limit]], next_cursor=more)

    return router


def _looked(snapshot: Snapshot) -> LookedOut:
    return LookedOut(
        queue=snapshot.queue,
        waiting=snapshot.waiting,
        looked_at=len(snapshot.letters),
        as_of=snapshot.as_of,
    )


def _groups(letters: Sequence[Head]) -> list[GroupOut]:
    groups: dict[tuple[str, str, str], list[Head]] = defaultdict(list)
    for letter in letters:
        groups[letter.queue, letter.reason, letter.error_class].append(letter)
    return [
        GroupOut(
            queue=queue,
            reason=reason,
            error_class=error_class or None,
            count=len(members),
            redriven=sum(bool(letter.redriven) for letter in members),
            oldest=min((letter.died_at for letter in members if letter.died_at), default=None),
        )
        for (queue, reason, error_class), members in groups.items()
    ]


def _cursor(letter: Head, index: int) -> str:
    return write_cursor(letter.fingerprint, index)


def _after(letters: Sequence[Head], cursor: str) -> int:
    """Return the place behind the cursor's letter; where it stood, if it is gone."""
    try:
        fingerprint, index = read_cursor(cursor, str, int)
        found = [place for place, letter in enumerate(letters) if letter.fingerprint == fingerprint]
        return found[0] + 1 if found else max(0, index - 1)
    except BadCursor as error:
        raise Problem(
            422, "invalid-cursor", "Use next_cursor of the page before, or leave it out."
        ) from error
