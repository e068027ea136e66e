"""A broker with the history, and the databases of operations and mlops, for tests."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

import mlops.subscribers
import operations.subscribers
from laundry.history.effects import Effects, Places, effects_of
from laundry.history.log import Happening, Log, opened
from laundry_events import EventConsumer, Outbox, Publisher, make_broker
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import ROLE
from mlops.repository.held import HELD as HELD_BY_MLOPS
from mlops.tables import training_examples
from operations.service.erasures import Erasures as OperationsErasures
from operations.service.history import History

BROKER_PLAN = Plan(
    queues=tuple(
        queue
        for queue in PLAN.queues
        if queue.every
        or queue.name in ("task.submitted", "task.read", "task.confirmed", "photo.deleted")
        or queue.name in ("person.erased.mlops", "person.forgotten")
    ),
    services=PLAN.services,
    exchanges=PLAN.exchanges,
)


@dataclass
class World:
    """A broker, the databases of operations and mlops, and what runs on them."""

    messaging: Messaging
    urls: dict[str, str]
    publisher: Publisher

    @asynccontextmanager
    async def consuming(self, *subscribe: Callable[[EventConsumer], object]) -> AsyncIterator[None]:
        broker = make_broker(self.messaging.amqp_url, service="tests", graceful_timeout_s=5)
        consumer = EventConsumer(broker, self.publisher, PLAN, service="tests", service_version="1")
        for each in subscribe:
            each(consumer)
        await broker.start()
        try:
            yield
        finally:
            await broker.stop()

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        async with opened([self.messaging.amqp_url], self.urls["operations"]) as log:
            yield log

    async def drained(self, *queues: str) -> None:
        async def empty() -> bool:
            return not sum([await self.messaging.count(queue) for queue in queues])

        await eventually(empty, what=f"nothing in {queues}")

    async def told(self, number: int) -> list[Happening]:
        """Everything in the history, once it holds so many events."""
        async with self.log() as log:

            async def look() -> list[Happening] | None:
                found = await log.all(lambda _: True)
                return found if len(found) >= number else None

            found: list[Happening] = await eventually(look, what=f"{number} events in the history")
        return found

    @property
    def places(self) -> Places:
        """Where effects are looked for, of confirmations alone."""

        async def totals() -> dict[str, int]:
            return {
                queue.name: await self.messaging.count(queue.name)
                for queue in BROKER_PLAN.queues
                if queue.kind == "quorum"
            }

        async def dead_in(queue: str) -> tuple[set[str], int]:
            return set(), 0

        plan = Plan(queues=(PLAN.queue("task.confirmed"),), services=())
        return Places(self.urls, totals, dead_in, plan)

    async def effects(self, happenings: list[Happening]) -> Effects:
        return await effects_of([each.outline for each in happenings], self.places)


def keeping(database: Database, publisher: Publisher) -> Callable[[EventConsumer], object]:
    """What operations does with events."""
    erasures = OperationsErasures(database, Outbox("operations"), ())
    history = History(database, publisher)
    return lambda consumer: operations.subscribers.subscribe(consumer, erasures, history, history_prefetch=50)


def learning(database: Database) -> Callable[[EventConsumer], object]:
    """What mlops does with events."""
    data = PersonalData(database, HELD_BY_MLOPS, audited=True)
    erasures = Erasures(database, Outbox("mlops"), data)
    return lambda consumer: mlops.subscribers.subscribe(consumer, database, erasures, prefetch=10)


@asynccontextmanager
async def databases(
    postgres: DatabaseAddress, template_of: Callable[[str], str]
) -> AsyncIterator[Callable[[str], Any]]:
    """Make a database with a service's tables; returns its URL and its engine."""
    names: list[str] = []
    engines: list[Database] = []

    async def make(package: str) -> tuple[str, Database]:
        name, role = f"test_{secrets.token_hex(6)}", ROLE
        template = await asyncio.to_thread(template_of, package)
        url = await ensure_database(postgres, name, *role, template=template)
        names.append(name)
        engines.append(Database(url.replace("postgresql://", "postgresql+asyncpg://", 1), pool=4))
        return url, engines[-1]

    yield make
    for engine in engines:
        await engine.close()
    for name in names:
        await drop_database(postgres, name)


async def examples(database: Database) -> list[tuple[Any, ...]]:
    """Every training example, but for the columns that say when and under which id it was stored."""
    columns = [each for each in training_examples.columns if each.name not in ("id", "created_at")]
    async with database.session() as session:
        rows = await session.execute(sa.select(*columns).order_by(training_examples.c.task_id))
        return [tuple(row) for row in rows]
