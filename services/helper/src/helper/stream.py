"""Tells a listening page which tasks of its branches change."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from fastapi.sse import ServerSentEvent

from helper import repository
from helper.bodies import TaskBody
from laundry_service.auth import Principal
from laundry_service.changes import Changes
from laundry_service.database import Database

log = structlog.get_logger(__name__)


async def changed_tasks(
    changes: Changes,
    database: Database,
    principal: Principal,
    *,
    stopping: asyncio.Event,
    max_s: float,
) -> AsyncIterator[ServerSentEvent]:
    """Yield ``ready`` at once, then a ``task`` event with the whole task for each change the caller may see.

    Ends when the service stops, when the database hangs up, or after ``max_s``: the browser comes back by
    itself, with a token that is checked anew. A page lists the tasks after each ``ready``, so that it
    misses nothing.
    """
    async with changes.following(stopping, max_s=max_s) as payloads:
        yield ServerSentEvent(event="ready", data={}, retry=2000)
        async for change in payloads:
            task_id, _, branch_id = change.partition(" ")
            if not principal.may_see_branch(branch_id):
                continue
            try:
                async with repository.single(database) as connection:
                    task = await repository.find(connection, task_id)
            except repository.DatabaseUnavailable as error:
                log.warning("an event stream ends without its database", error=str(error))
                return
            if task is not None:
                yield ServerSentEvent(event="task", id=f"{task.id}:{task.version}", data=TaskBody.of(task))
