"""``/dead-letters``, to read them: in lists, in groups of one cause, and one by one."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from laundry_dead_letters.actions import exported
from laundry_dead_letters.errors import BrokerAway
from laundry_events.plan import Plan
from laundry_service.http.cursors import BadCursor, read_cursor, write_cursor
from laundry_service.http.problems import Problem
from operations.api.permissions import Operator
from operations.api.problems import away, main_queue
from operations.repository import Store
from operations.schemas import GroupOut, LetterOut, LetterPage, LookedOut
from operations.service.letters import LetterReader, LetterSummary, QueueBusy, Snapshot


def letters_router(letters: LetterReader, store: Store, plan: Plan) -> APIRouter:
    """Make the endpoints that read ``/dead-letters``."""
    router = APIRouter(prefix="/dead-letters", tags=["dead letters"])
    everywhere = [queue.name for queue in plan.queues if queue.dead]

    @router.get("")
    async def list_letters(
        _: Operator,
        queue: str | None = None,
        reason: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> LetterPage:
        """Read dead letters and their reasons. They stay where they are."""
        names = everywhere if queue is None else [main_queue(queue)]
        try:
            snapshots = await letters.snapshots(names)
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
            letter = await letters.letter(name, id)
        except (BrokerAway, QueueBusy) as error:
            raise away(error) from error
        if letter is None:
            raise Problem(404, "letter-unknown", "No such letter waits there now: it was treated or expired.")
        records = await (await store.audit()).newest(queue=name, message_id=letter.message_id or "", limit=50)
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


def _looked(snapshot: Snapshot) -> LookedOut:
    return LookedOut(
        queue=snapshot.queue,
        waiting=snapshot.waiting,
        looked_at=len(snapshot.letters),
        as_of=snapshot.as_of,
    )


def _groups(letters: Sequence[LetterSummary]) -> list[GroupOut]:
    groups: dict[tuple[str, str, str], list[LetterSummary]] = defaultdict(list)
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


def _cursor(letter: LetterSummary, index: int) -> str:
    return write_cursor(_place(letter), index)


def _place(letter: LetterSummary) -> str:
    """Return what tells a letter from every other: the same event may have died in several queues."""
    return f"{letter.queue}/{letter.fingerprint}"


def _after(letters: Sequence[LetterSummary], cursor: str) -> int:
    """Return the position after the cursor's letter, or where it was if it is gone."""
    try:
        last, index = read_cursor(cursor, str, int)
        found = [number for number, letter in enumerate(letters) if _place(letter) == last]
        return found[0] + 1 if found else max(0, index - 1)
    except BadCursor as error:
        raise Problem(
            422, "invalid-cursor", "Use next_cursor of the page before, or leave it out."
        ) from error
