"""Queries that store what was read of a photo."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from helper.repository.rows import outcome_values, plain_pictures
from helper.tables import tasks
from helper.tasks import FINAL, Outcome
from laundry_events import inbox
from laundry_events.events import Pictures, TaskRead

_TAKEN = (
    "status",
    "read_labels",
    "needs_review",
    "multiple",
    "model_version",
    "read_at",
    "unreadable_reason",
)


def _kept(new: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    # A reader that had no time for them says none; somebody may have asked for them meanwhile.
    return sa.func.coalesce(new, tasks.c.pictures)


def _take_once_statement() -> sa.Select[Any]:
    changed = (
        sa.update(tasks)
        .where(
            tasks.c.id == sa.bindparam("of_task", type_=tasks.c.id.type),
            tasks.c.branch_id == sa.bindparam("of_branch", type_=sa.Text),
            tasks.c.version == sa.bindparam("seen_version", type_=sa.Integer),
            tasks.c.status.not_in(FINAL),
            inbox.unclaimed(),
        )
        .values({name: sa.bindparam(f"new_{name}", type_=tasks.c[name].type) for name in _TAKEN})
        .values(
            version=tasks.c.version + 1,
            pictures=_kept(sa.bindparam("new_pictures", type_=tasks.c.pictures.type)),
        )
        .returning(tasks.c.id)
        .cte("changed")
    )
    return sa.select(changed.c.id).add_cte(inbox.claim_with(changed))


TAKE_ONCE = _take_once_statement()
LARGEST_VERSION = 2**31 - 1


async def take_once(
    connection: AsyncConnection,
    task_id: str,
    event: TaskRead,
    outcome: Outcome,
    *,
    consumer: str,
    message_id: str,
) -> bool:
    """Store a reading and claim its message, unless the task has changed or the message was claimed before.

    All in one statement, which is its own transaction (``single``): one round trip, where a look at the task
    takes another and a transaction with a lock five. Of two deliveries at once the second waits for the
    first's row and then finds another version.

    Returns:
        whether it was stored; if not, nothing was, and ``tasks.take_reading`` under a lock tells why.
    """
    values = outcome_values(outcome.reading, outcome.unreadable_reason)
    parameters = {
        "of_task": task_id,
        "of_branch": event.branch_id,
        # No task has a version beyond; a message may say any.
        "seen_version": min(event.task_version, LARGEST_VERSION),
        **inbox.claim_parameters(consumer, message_id),
        "new_status": outcome.status,
        **{f"new_{name}": value for name, value in values.items()},
        "new_pictures": plain_pictures(outcome.pictures),
    }
    return (await connection.execute(TAKE_ONCE, parameters)).first() is not None


async def keep_pictures(
    connection: AsyncConnection, task_id: str, pictures: Pictures, *, instead_of: Pictures | None
) -> bool:
    """Note the pictures of a task, unless others were noted than the caller knows of.

    Returns:
        whether they were noted.
    """
    known = None if instead_of is None else instead_of.display.key
    changed = await connection.execute(
        sa.update(tasks)
        .where(
            tasks.c.id == task_id,
            tasks.c.photo_deleted_at.is_(None),
            tasks.c.pictures["display"]["key"].astext.is_not_distinct_from(known),
        )
        .values(pictures=plain_pictures(pictures))
        .returning(tasks.c.id)
    )
    return changed.first() is not None
