"""The history and replay on real servers: what is told, what is missed, what is rebuilt."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

import mlops.subscribers
import operations.subscribers
from laundry.history.effects import Effects, Places, effects_of
from laundry.history.log import Happening, Log, opened
from laundry.history.replay import replay
from laundry_events import EventConsumer, Outbox, Publisher, make_broker
from laundry_events.events import PersonErased, PhotoDeleted
from laundry_events.plan import EVENTS_EXCHANGE, Plan
from laundry_events.topology import HISTORY_INTAKE, PLAN
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import ROLE
from mlops.repository.held import HELD as HELD_BY_MLOPS
from mlops.tables import training_examples
from operations.repository.erasures import HELD as HELD_BY_OPERATIONS
from operations.service.erasures import Erasures as OperationsErasures
from operations.service.history import History

from .task_events import NOW, confirmed

servers = pytest.mark.servers
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

    async def effects(self, happenings: list[Happening]) -> Effects:
        async def totals() -> dict[str, int]:
            return {
                queue.name: await self.messaging.count(queue.name)
                for queue in BROKER_PLAN.queues
                if queue.kind == "quorum"
            }

        async def dead_in(queue: str) -> set[str]:
            return set()

        plan = Plan(queues=(PLAN.queue("task.confirmed"),), services=())
        return await effects_of(happenings, Places(self.urls, totals, dead_in, plan))


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


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    return BROKER_PLAN


@pytest_asyncio.fixture
async def make_database(
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


@servers
async def test_training_examples_are_rebuilt_in_an_empty_database_without_a_difference(
    messaging: Messaging, make_database: Callable[[str], Any]
) -> None:
    operations_url, kept_by = await make_database("operations")
    mlops_url, before = await make_database("mlops")
    _, empty = await make_database("mlops")
    publisher = Publisher(messaging.amqp_url, source="helper")
    await publisher.wait_connected()
    world = World(messaging, {"operations": operations_url, "mlops": mlops_url}, publisher)
    tasks = [f"task-{number:03x}" for number in range(240)]
    queues = ("task.confirmed", "photo.deleted", HISTORY_INTAKE)
    gone = PersonErased(erasure_id="e1", person_id="lee", tombstone="erased-1", requested_at=NOW)
    number = 0
    async with world.consuming(keeping(kept_by, publisher), learning(before)):
        for index, task in enumerate(tasks):
            event = confirmed(task, "shirt" if index % 3 else "pants", by="kim" if index % 2 else "lee")
            id_ = await publisher.publish(event)
            number += 1
            if index % 10 == 0:  # by a relay that died before it could note it
                await publisher.publish(event, event_id=id_)
            if index % 5 == 0:
                await publisher.publish(confirmed(task, "shoes", version=3, by="park"))
                number += 1
        await world.drained(*queues)
        for task in tasks[::7]:
            deleted = PhotoDeleted(
                task_id=task, branch_id="b1", photo_sha256="0" * 64, keep_features=True, deleted_at=NOW
            )
            await publisher.publish(deleted)
            number += 1
        await publisher.publish(gone)
        await PersonalData(kept_by, HELD_BY_OPERATIONS).erase("lee", gone.tombstone)

        async def erased() -> bool:
            return not any("lee" in row for row in await examples(before))

        await eventually(erased, what="the end of lee")
        await world.drained(*queues, "person.erased.mlops")
        happenings = await world.told(number + 1)
    assert len(happenings) == number + 1, "each event once, however often it was published"

    # The same consumer on an empty database; in order, as a photo is deleted after it was confirmed.
    async with world.consuming(learning(empty)), world.log() as log:
        for queue in ("task.confirmed", "photo.deleted"):
            keys = PLAN.queue(queue).keys

            def wanted(each: Happening, keys: tuple[str, ...] = keys) -> bool:
                return each.event.routing_key in keys

            assert await replay(log.connection, queue, log.read(wanted), silent=True) > 0
            await world.drained(queue)

        async def rebuilt() -> bool:
            return await examples(empty) == await examples(before)

        await eventually(rebuilt, what="the same examples")
        # And again: whoever has them already stays as he is.
        keys = PLAN.queue("task.confirmed").keys
        await replay(
            log.connection,
            "task.confirmed",
            log.read(lambda each: each.event.routing_key in keys),
            silent=True,
        )
        await world.drained("task.confirmed")
    differences = set(map(repr, await examples(before))) ^ set(map(repr, await examples(empty)))
    assert differences == set() and len(await examples(empty)) == len(tasks)
    assert any("erased-1" in row for row in await examples(empty))
    await publisher.stop()


@servers
async def test_what_a_lost_binding_let_pass_is_found_and_has_its_effect_afterwards(
    messaging: Messaging, make_database: Callable[[str], Any]
) -> None:
    operations_url, kept_by = await make_database("operations")
    mlops_url, database = await make_database("mlops")
    publisher = Publisher(messaging.amqp_url, source="helper")
    await publisher.wait_connected()
    world = World(messaging, {"operations": operations_url, "mlops": mlops_url}, publisher)
    async with world.consuming(keeping(kept_by, publisher), learning(database)):
        first = await publisher.publish(confirmed("t1"))
        async with messaging.channel() as channel:
            queue = await channel.get_queue("task.confirmed", ensure=False)
            await queue.unbind(EVENTS_EXCHANGE, "task.confirmed")
            # The broker does not say that nobody takes it: the history does.
            lost = await publisher.publish(confirmed("t2"))
            await queue.bind(EVENTS_EXCHANGE, "task.confirmed")
        last = await publisher.publish(confirmed("t3"))
        happenings = [
            Happening(each.id, each.event, NOW - timedelta(minutes=1), each.source, each.headers)
            for each in await world.told(3)
        ]

        async def all_but_one() -> bool:
            found = (await world.effects(happenings)).states
            return found == {
                ("task.confirmed", first): "done",
                ("task.confirmed", lost): "unhandled",
                ("task.confirmed", last): "done",
            }

        await eventually(all_but_one, what="the one that passed by")

        async def missing() -> AsyncIterator[list[Happening]]:
            yield [each for each in happenings if each.id == lost]

        async with world.log() as log:
            assert await replay(log.connection, "task.confirmed", missing(), silent=False) == 1

        async def none_left() -> bool:
            return not (await world.effects(happenings)).unhandled

        await eventually(none_left, what="its effect")
    assert {row[0] for row in await examples(database)} == {"t1", "t2", "t3"}
    await publisher.stop()
