"""Every query of the helper."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from helper.history import EVERYTHING, Search
from helper.repository.history import conditions
from helper.tables import submissions, tasks
from helper.tasks import FINAL, Confirmation, Outcome, Reading, Status, Task, Undo
from laundry_events import inbox, outbox
from laundry_events.envelope import OutgoingEvent
from laundry_events.events import CountedLabel, Photo, Pictures, ReadLabel, TaskRead
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_outage


class DatabaseUnavailable(Exception):
    """The database did not answer, or refused for now: try again later.

    ``in_doubt`` says that something was sent to it that may have had its effect.
    """

    def __init__(self, message: str, *, in_doubt: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


@contextlib.asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a transaction that commits at the end of the block.

    Raises:
        DatabaseUnavailable: it may not be committed.
    """
    with _told_when_away() as progress:
        async with database.transaction() as session:
            progress.append("opened")
            yield session


@contextlib.asynccontextmanager
async def single(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open a connection for one statement, which commits by itself.

    Raises:
        DatabaseUnavailable: it may not be committed.
    """
    with _told_when_away() as progress:
        async with database.single() as connection:
            progress.append("opened")
            yield connection


@contextlib.contextmanager
def _told_when_away() -> Iterator[list[str]]:
    progress: list[str] = []
    try:
        yield progress
    except Exception as error:
        if not is_outage(error):
            raise
        cause = getattr(error, "orig", error)
        raise DatabaseUnavailable(f"{type(cause).__name__}: {cause}", in_doubt=bool(progress)) from error


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
    """
    parameters = {
        **_values(task),
        "key": key,
        "expires_at": expires_at,
        **outbox.add_parameters(event),
    }
    if (await connection.execute(ADD, parameters)).first() is not None:
        return None
    return await submitted(connection, task.helper_id, key)


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
    """
    claim = insert(submissions).values(
        helper_id=or_claim_for.helper_id, key=key, task_id=or_claim_for.id, expires_at=None
    )
    claimed = claim.on_conflict_do_nothing().returning(submissions.c.task_id)
    if (await session.execute(claimed)).first() is not None:
        return None
    found = await session.execute(
        sa.select(submissions.c.task_id).where(
            submissions.c.helper_id == or_claim_for.helper_id, submissions.c.key == key
        )
    )
    return await find(session, found.scalar_one(), lock=True)


async def find(session: AsyncSession | AsyncConnection, task_id: str, *, lock: bool = False) -> Task | None:
    """Find a task; with ``lock`` nobody else changes it before this transaction ends."""
    query = sa.select(tasks).where(tasks.c.id == task_id)
    row = (await session.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else task_of(row)


async def find_all(connection: AsyncConnection, task_ids: Collection[str]) -> list[Task]:
    """Find the tasks that exist among these ids."""
    rows = await connection.execute(sa.select(tasks).where(tasks.c.id.in_(task_ids)))
    return [task_of(row) for row in rows]


async def time_of(session: AsyncSession) -> datetime:
    """Return the database's own time: the relay goes by it, too."""
    at: datetime = (await session.execute(sa.select(sa.func.now()))).scalar_one()
    return at


async def change(session: AsyncSession, task: Task) -> None:
    """Store a task that was found with ``lock`` and changed by the rules."""
    await session.execute(sa.update(tasks).where(tasks.c.id == task.id).values(_values(task)))


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
    values = _outcome_values(outcome.reading, outcome.unreadable_reason)
    parameters = {
        "of_task": task_id,
        "of_branch": event.branch_id,
        # No task has a version beyond; a message may say any.
        "seen_version": min(event.task_version, LARGEST_VERSION),
        **inbox.claim_parameters(consumer, message_id),
        "new_status": outcome.status,
        **{f"new_{name}": value for name, value in values.items()},
        "new_pictures": _plain_pictures(outcome.pictures),
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
        .values(pictures=_plain_pictures(pictures))
        .returning(tasks.c.id)
    )
    return changed.first() is not None


async def newest(
    connection: AsyncConnection,
    *,
    branches: Collection[str] | None,
    statuses: Sequence[Status],
    before: str | None,
    limit: int,
    search: Search = EVERYTHING,
) -> list[Task]:
    """List tasks, newest first (ids are ordered by time).

    Args:
        branches: only theirs; None is all.
        statuses: only these; none is all but those that were withdrawn.
        before: only tasks older than this id.
    """
    query = sa.select(tasks).where(*conditions(search)).order_by(tasks.c.id.desc()).limit(limit)
    if branches is not None:
        query = query.where(tasks.c.branch_id.in_(branches))
    query = query.where(tasks.c.status.in_(statuses) if statuses else tasks.c.status != "withdrawn")
    if before is not None:
        query = query.where(tasks.c.id < before)
    return [task_of(row) for row in await connection.execute(query)]


async def corrected_of(
    connection: AsyncConnection,
    helper_id: str,
    *,
    branches: Collection[str],
    before: str | None,
    limit: int,
) -> list[Task]:
    """List a helper's tasks of these branches that an owner corrected, newest first."""
    query = (
        sa.select(tasks)
        .where(tasks.c.helper_id == helper_id, tasks.c.corrected, tasks.c.branch_id.in_(branches))
        .order_by(tasks.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(tasks.c.id < before)
    return [task_of(row) for row in await connection.execute(query)]


async def forget_expired(session: AsyncSession) -> int:
    """Delete keys that have expired; returns how many."""
    gone = await session.execute(
        sa.delete(submissions)
        .where(submissions.c.expires_at <= sa.func.now())
        .returning(submissions.c.task_id)
    )
    return len(gone.all())


async def known_keys(session: AsyncSession, task_ids: Collection[str]) -> set[str]:
    """Return the keys of what is stored for these tasks: photos and their pictures."""
    found = await session.execute(sa.select(tasks).where(tasks.c.id.in_(task_ids)))
    return {key for row in found for key in task_of(row).stored}


def _values(task: Task) -> dict[str, Any]:
    reading, confirmation = task.reading, task.confirmation
    return {
        "id": task.id,
        "branch_id": task.branch_id,
        "helper_id": task.helper_id,
        "note": task.note,
        "status": task.status,
        "version": task.version,
        "submitted_at": task.submitted_at,
        "photo_key": task.photo.key,
        "photo_sha256": task.photo.sha256,
        "photo_bytes": task.photo.bytes,
        "photo_media_type": task.photo.media_type,
        **_outcome_values(reading, task.unreadable_reason),
        "pictures": _plain_pictures(task.pictures),
        "confirmed_labels": _plain(confirmation.labels) if confirmation else None,
        "corrected": confirmation.corrected if confirmation else None,
        "confirmed_by": confirmation.confirmed_by if confirmation else None,
        "confirmed_at": confirmation.confirmed_at if confirmation else None,
        "undo_until": confirmation.undo.until if confirmation and confirmation.undo else None,
        "undo_event": confirmation.undo.event_id if confirmation and confirmation.undo else None,
        "load_id": task.load_id,
        "replaced_by": task.replaced_by,
    }


def _outcome_values(reading: Reading | None, unreadable_reason: str | None) -> dict[str, Any]:
    return {
        "read_labels": _plain(reading.labels) if reading else None,
        "needs_review": reading.needs_review if reading else None,
        "multiple": reading.multiple if reading else None,
        "model_version": reading.model_version if reading else None,
        "read_at": reading.read_at if reading else None,
        "unreadable_reason": unreadable_reason,
    }


def _plain_pictures(pictures: Pictures | None) -> dict[str, Any] | None:
    return None if pictures is None else pictures.model_dump()


def _plain(labels: Sequence[ReadLabel | CountedLabel]) -> list[dict[str, Any]]:
    return [label.model_dump() for label in labels]


def task_of(row: sa.Row[Any]) -> Task:
    """Return the task that a row of ``tasks`` holds."""
    reading = confirmation = None
    if row.read_at is not None:
        reading = Reading(
            tuple(ReadLabel.model_validate(label) for label in row.read_labels),
            row.needs_review,
            row.model_version,
            row.read_at,
            bool(row.multiple),
        )
    if row.confirmed_at is not None:
        confirmation = Confirmation(
            tuple(CountedLabel.model_validate(label) for label in row.confirmed_labels),
            row.corrected,
            row.confirmed_by,
            row.confirmed_at,
            None if row.undo_until is None else Undo(row.undo_event, row.undo_until),
        )
    return Task(
        id=row.id,
        branch_id=row.branch_id,
        helper_id=row.helper_id,
        photo=Photo(
            key=row.photo_key,
            sha256=row.photo_sha256,
            bytes=row.photo_bytes,
            media_type=row.photo_media_type,
        ),
        submitted_at=row.submitted_at,
        note=row.note,
        status=row.status,
        version=row.version,
        reading=reading,
        unreadable_reason=row.unreadable_reason,
        confirmation=confirmation,
        pictures=None if row.pictures is None else Pictures.model_validate(row.pictures),
        photo_deleted_at=row.photo_deleted_at,
        photo_gone_at=row.photo_gone_at,
        original_deleted_at=row.original_deleted_at,
        load_id=row.load_id,
        replaced_by=row.replaced_by,
    )
