"""The event is published and stored at the same time (DD-02, lines 492 to 506)."""

import asyncio

import asyncpg

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import POOL, Addresses, NotAccepted
from laundry_lab.compare.approaches.event_store import stream

# A worker may have been quicker.
STORE = "INSERT INTO events (event_id, type, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
PUBLISH_S = 1.0


class Producer:
    """Plays the helper in this design: accepts photos and announces them."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def start(self) -> None:
        """Connect to the database and to the stream."""
        self._pool = await asyncpg.create_pool(self._addresses["database"], min_size=POOL, max_size=POOL)
        self._connection = await stream.connect(self._addresses["broker"])
        self._context = self._connection.jetstream(timeout=PUBLISH_S)
        await stream.ensure(self._context)

    async def submit(self, photo: TaskSubmitted) -> None:
        """Write twice. What the store has is accepted: workers find it there if the broker never had it."""
        body = photo.model_dump_json().encode()
        _, stored = await asyncio.gather(
            self._publish(photo.task_id, body),
            self._pool.execute(STORE, photo.task_id, photo.event_type, body),
            return_exceptions=True,
        )
        if isinstance(stored, BaseException):
            raise NotAccepted(str(stored)) from stored

    async def _publish(self, event_id: str, body: bytes) -> None:
        if not self._connection.is_connected:
            raise ConnectionError("the broker is away")
        await self._context.publish(
            stream.SUBJECT, body, timeout=PUBLISH_S, headers={"Nats-Msg-Id": event_id}
        )

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        await self._connection.close()
        await self._pool.close()
