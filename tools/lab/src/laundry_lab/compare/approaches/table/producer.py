"""The task's row is the message (DD-02, lines 557 to 616)."""

import asyncpg

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import DATABASE_ERRORS, POOL, Addresses, NotAccepted

TASK = "INSERT INTO tasks (task_id, body) VALUES ($1, $2)"
# One statement, one transaction: NOTIFY is sent when it commits.
TOLD = "WITH told AS (INSERT INTO tasks (task_id, body) VALUES ($1, $2)) SELECT pg_notify('tasks', '')"


class Producer:
    """Plays the helper in this design: accepts photos and announces them."""

    def __init__(self, addresses: Addresses, *, every_s: float, notify: bool) -> None:
        del every_s
        self._addresses = addresses
        self._statement = TOLD if notify else TASK

    async def start(self) -> None:
        """Connect to the database."""
        self._pool = await asyncpg.create_pool(self._addresses["database"], min_size=POOL, max_size=POOL)

    async def submit(self, photo: TaskSubmitted) -> None:
        """Store the task, pending."""
        try:
            await self._pool.execute(self._statement, photo.task_id, photo.model_dump_json().encode())
        except DATABASE_ERRORS as error:
            raise NotAccepted(str(error)) from error

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        await self._pool.close()
