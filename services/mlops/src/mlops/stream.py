"""Tells a listening page how training runs change."""

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import ServerSentEvent

from laundry_service.changes import Changes
from laundry_service.database import Database
from mlops import repository
from mlops.bodies import run_body

MAX_S = 900.0


async def changed_runs(
    changes: Changes, database: Database, *, stopping: asyncio.Event, max_s: float = MAX_S
) -> AsyncIterator[ServerSentEvent]:
    """Yield ``ready`` at once, then a ``training-run`` event with the whole run for each change.

    Ends when the service stops, when the database hangs up, or after ``max_s`` so that the token is checked
    anew: the browser comes back by itself. A page lists the runs after each ``ready``, so that it misses
    nothing.
    """
    async with changes.following(stopping, max_s=max_s) as payloads:
        yield ServerSentEvent(event="ready", data={}, retry=2000)
        async for run_id in payloads:
            async with database.session() as session:
                row = await repository.get_run(session, run_id)
            if row is not None:
                yield ServerSentEvent(event="training-run", id=run_id, data=run_body(row))
