"""What tests of the outbox share: rows stored as a service would, and how many are left."""

from typing import Any

import httpx
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from laundry_events import Outbox, Publisher, Refused
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.tables import outbox
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually


async def waiting(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(outbox))).scalar_one()


async def is_empty(engine: AsyncEngine) -> bool:
    return await waiting(engine) == 0


async def store(engine: AsyncEngine, *task_ids: str) -> None:
    async with engine.begin() as connection:
        for task_id in task_ids:
            await Outbox("tests").add(connection, reading(task_id))


async def store_raw(engine: AsyncEngine, number: int = 1, **values: Any) -> None:
    """Store rows as no code of ours would."""
    row = {"event_id": "raw", "routing_key": "task.read", "headers": {}, "body": b"{}", **values}
    async with engine.begin() as connection:
        await connection.execute(insert(outbox), [row] * number)


async def limit_queue(messaging: Messaging, queue: str, max_length: int | None) -> None:
    """Let a queue refuse what exceeds a length; none lifts it."""
    login = (messaging.broker.username, messaging.broker.password)
    path = f"/api/policies/{messaging.vhost}/full"
    full = {
        "pattern": f"^{queue}$".replace(".", r"\."),
        "definition": {"max-length": max_length, "overflow": "reject-publish"},
        "priority": 50,
        "apply-to": "queues",
    }
    async with httpx.AsyncClient(base_url=messaging.broker.management_url, auth=login, timeout=10) as api:
        answer = await (api.delete(path) if max_length is None else api.put(path, json=full))
        answer.raise_for_status()


async def fill_queue(messaging: Messaging, publisher: Publisher, queue: str) -> None:
    """Let a queue hold one message, and wait until it refuses the next."""
    await limit_queue(messaging, queue, 1)

    async def refused() -> bool:
        try:
            await publisher.send(EVENTS_EXCHANGE, queue, body=b"{}", headers={}, message_id="x")
        except Refused:
            return True
        return False

    await eventually(refused, what="a full queue")
