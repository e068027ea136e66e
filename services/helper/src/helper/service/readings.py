"""Stores a photo's reading in its task, once however often it is delivered."""

import uuid

import structlog

from helper import repository
from helper.repository import readings
from helper.tasks import outcome_of, take_reading
from laundry_events import claim_once
from laundry_events.events import TaskRead
from laundry_service.storage.database import Database

TASK_READ = "helper.task-read"

log = structlog.get_logger(__name__)


class UnknownTask(Exception):
    """A reading names a task that its branch does not have."""

    def __init__(self, event: TaskRead) -> None:
        super().__init__(f"branch {event.branch_id!r} has no task {event.task_id[:40]!r}")


async def store_reading(database: Database, event: TaskRead, message_id: str) -> str:
    """Store a reading in its task.

    Returns:
        the task's new status, ``repeated`` for a duplicate message, or ``late`` if the task has changed since
        it was read.

    Raises:
        UnknownTask.
        DatabaseUnavailable: it may not be stored.
    """
    task_id = _task_id(event)
    outcome = outcome_of(event)
    async with repository.single(database) as connection:
        if await readings.take_once(
            connection, task_id, event, outcome, consumer=TASK_READ, message_id=message_id
        ):
            return outcome.status
    # A duplicate, outdated or unknown: decided under a lock.
    async with repository.transaction(database) as session:
        if not await claim_once(session, TASK_READ, message_id):
            return "repeated"
        task = await repository.find(session, task_id, lock=True)
        if task is None or task.branch_id != event.branch_id:
            raise UnknownTask(event)
        after = take_reading(task, event)
        if after is not task:
            await repository.change(session, after)
    if after is task:
        log.info("a reading came too late", task_id=task_id, status=task.status, version=task.version)
        return "late"
    return after.status


def _task_id(event: TaskRead) -> str:
    try:
        return str(uuid.UUID(event.task_id))
    except ValueError as error:
        raise UnknownTask(event) from error
