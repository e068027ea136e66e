"""Tells a listening page which tasks of its branches change."""

import asyncio
import contextlib
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
    listening = changes.listen(stopping)
    payload = asyncio.ensure_future(anext(listening, None))
    ends_at = asyncio.get_running_loop().time() + max_s
    try:
        # One turn of the loop: the listener is subscribed before the client is told that it is.
        await asyncio.sleep(0)
        yield ServerSentEvent(event="ready", data={}, retry=2000)
        while True:
            await asyncio.wait({payload}, timeout=ends_at - asyncio.get_running_loop().time())
            change = payload.result() if payload.done() else None
            if change is None:
                return
            payload = asyncio.ensure_future(anext(listening, None))
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
    finally:
        payload.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await payload
        await listening.aclose()
