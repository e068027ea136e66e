"""What the helper hears."""

import uuid

import structlog
from prometheus_client import Counter

from helper import repository
from helper.tasks import outcome_of, take_reading
from laundry_events import EventConsumer, EventMeta, PermanentError, claim_once
from laundry_events.events import TaskRead
from laundry_service.database import Database

READ = Counter("laundry_helper_readings", "Readings by what became of them", ["outcome"])

TASK_READ = "helper.task-read"

log = structlog.get_logger(__name__)


def subscribe(consumer: EventConsumer, database: Database, *, prefetch: int) -> None:
    """Take readings into their tasks."""

    @consumer.on("task.read", TaskRead, prefetch=prefetch)
    async def task_read(event: TaskRead, meta: EventMeta) -> None:
        task_id = _task_id(event)
        outcome = outcome_of(event)
        async with repository.single(database) as connection:
            if await repository.take_once(
                connection, task_id, event, outcome, consumer=TASK_READ, message_id=meta.id
            ):
                READ.labels(outcome.status).inc()
                return
        # Delivered before, overtaken, or unknown: under a lock, to tell which.
        async with repository.transaction(database) as session:
            if not await claim_once(session, TASK_READ, meta.id):
                READ.labels("repeated").inc()
                return
            task = await repository.find(session, task_id, lock=True)
            if task is None or task.branch_id != event.branch_id:
                raise _unknown(event)
            after = take_reading(task, event)
            if after is not task:
                await repository.change(session, after)
        late = after is task
        READ.labels("late" if late else after.status).inc()
        if late:
            log.info("a reading came too late", task_id=task_id, status=task.status, version=task.version)


def _task_id(event: TaskRead) -> str:
    try:
        return str(uuid.UUID(event.task_id))
    except ValueError as error:
        raise _unknown(event) from error


def _unknown(event: TaskRead) -> PermanentError:
    return PermanentError(
        f"branch {event.branch_id!r} has no task {event.task_id[:40]!r}", reason="unknown-task"
    )
