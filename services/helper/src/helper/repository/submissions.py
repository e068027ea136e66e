"""Queries about uploads: each makes one task, however often it is sent."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from helper.repository import DatabaseUnavailable, find
from helper.repository.rows import task_of, values
from helper.tables import submissions, tasks
from helper.tasks import Task
from laundry_events import outbox
from laundry_events.envelope import OutgoingEvent
from laundry_service.storage.slices import slice_of

TRIES = 3
"""How often a key is claimed: one that was there may be gone when its task is looked up, as it had expired or
its helper was erased."""


def _add_statement() -> sa.Insert:
    claim = insert(submissions).values(
        {name: sa.bindparam(name) for name in ("helper_id", "key", "expires_at")}
        | {"task_id": sa.bindparam("id", type_=tasks.c.id.type)}
    )
    claimed = (
        claim.on_conflict_do_update(
            index_elements=["helper_id", "key"],
            set_={"task_id": claim.excluded.task_id, "expires_at": claim.excluded.expires_at},
            where=submissions.c.expires_at <= sa.func.now(),
        )
        .returning(submissions.c.task_id)
        .cte("claimed")
    )
    columns = [tasks.c[name] for name in ("branch_id", "helper_id", "note", "status", "version")]
    columns += [tasks.c[name] for name in ("submitted_at", "photo_key", "photo_sha256")]
    columns += [tasks.c[name] for name in ("photo_bytes", "photo_media_type", "load_id")]
    row = sa.select(claimed.c.task_id, *(sa.bindparam(c.name, type_=c.type) for c in columns))
    stored = sa.insert(tasks).from_select([tasks.c.id, *columns], row).returning(tasks.c.id)
    return stored.add_cte(outbox.add_with(claimed))


ADD = _add_statement()


async def add(
    connection: AsyncConnection | AsyncSession,
    task: Task,
    event: OutgoingEvent,
    *,
    key: str,
    expires_at: datetime | None,
) -> Task | None:
    """Store a new task and its outbox row, unless its helper has submitted it before.

    All in one statement, which can be its own transaction (``single``): one round trip and one commit. The
    unique key makes a racing twin wait until it ends, so two requests make one task.

    Args:
        event: that the task was submitted.
        key: what makes two uploads the same (``tasks.submission_key``).
        expires_at: from then on the key makes a new task.

    Returns:
        None if stored, else the task that was there.

    Raises:
        DatabaseUnavailable: nothing is stored, as each time somebody else deleted the key just then.
    """
    parameters = {
        **values(task),
        "key": key,
        "expires_at": expires_at,
        **outbox.add_parameters(event),
    }
    for _ in range(TRIES):
        if (await connection.execute(ADD, parameters)).first() is not None:
            return None
        earlier = await submitted(connection, task.helper_id, key)
        if earlier is not None:
            return earlier
    raise _key_comes_and_goes()


async def submitted(connection: AsyncConnection | AsyncSession, helper_id: str, key: str) -> Task | None:
    """Find the task that a helper has submitted under a key."""
    found = await connection.execute(
        sa.select(tasks)
        .join(submissions, submissions.c.task_id == tasks.c.id)
        .where(submissions.c.helper_id == helper_id, submissions.c.key == key)
    )
    row = found.first()
    return None if row is None else task_of(row)


async def submitted_under(session: AsyncSession, key: str, *, or_claim_for: Task) -> Task | None:
    """Find and lock what a helper has submitted under a key.

    A key without a task is claimed, so that an upload which is still on its way cannot make one.

    Args:
        or_claim_for: a task of the same helper.

    Raises:
        DatabaseUnavailable: as ``add``.
    """
    claim = insert(submissions).values(
        helper_id=or_claim_for.helper_id, key=key, task_id=or_claim_for.id, expires_at=None
    )
    claimed = claim.on_conflict_do_nothing().returning(submissions.c.task_id)
    task_id = sa.select(submissions.c.task_id).where(
        submissions.c.helper_id == or_claim_for.helper_id, submissions.c.key == key
    )
    for _ in range(TRIES):
        if (await session.execute(claimed)).first() is not None:
            return None
        found = (await session.execute(task_id)).scalar_one_or_none()
        if found is not None:
            return await find(session, found, lock=True)
    raise _key_comes_and_goes()


def _key_comes_and_goes() -> DatabaseUnavailable:
    return DatabaseUnavailable("an upload's key was deleted as often as it was looked up", in_doubt=False)


def forget_expired() -> sa.Delete:
    """Return the statement that deletes a slice of the keys that have expired."""
    return slice_of(submissions, submissions.c.expires_at <= sa.func.now())
