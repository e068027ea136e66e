"""The history and replay on real servers: what is told, what is missed, what is rebuilt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from laundry.commands.replay import feed
from laundry.history.effects import claim_name
from laundry.history.log import Happening
from laundry.history.replay import replay
from laundry_events import Event, EventConsumer, EventMeta, Outbox, Publisher, claim_once
from laundry_events.events import PersonErased, PhotoDeleted, TaskConfirmed
from laundry_events.plan import EVENTS_EXCHANGE, Plan
from laundry_events.topology import HISTORY_INTAKE, PLAN
from laundry_servers.addresses import DatabaseAddress
from laundry_service.audit.acts import Actor
from laundry_service.personal_data.held import PersonalData
from laundry_testing.messaging import Messaging, eventually
from operations.repository.erasures import HELD as HELD_BY_OPERATIONS
from operations.service.erasures import Erasures

from .history_world import BROKER_PLAN, World, databases, examples, keeping, learning
from .task_events import NOW, confirmed

servers = pytest.mark.servers


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    return BROKER_PLAN


@pytest_asyncio.fixture
async def make_database(
    postgres: DatabaseAddress, template_of: Callable[[str], str]
) -> AsyncIterator[Callable[[str], Any]]:
    async with databases(postgres, template_of) as make:
        yield make


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


@servers
async def test_who_is_to_be_forgotten_is_told_by_the_tombstone_from_the_request_on(
    messaging: Messaging, make_database: Callable[[str], Any]
) -> None:
    operations_url, kept_by = await make_database("operations")
    async with messaging.publisher("helper") as publisher:
        world = World(messaging, {"operations": operations_url}, publisher)
        async with world.consuming(keeping(kept_by, publisher)):
            await publisher.publish(confirmed("t1", by="kim"))
            await world.told(1)
        async with world.log() as log:

            async def by() -> str:
                [told] = await log.all(lambda each: isinstance(each.event, TaskConfirmed))
                assert isinstance(told.event, TaskConfirmed)
                return told.event.confirmed_by

            assert await by() == "kim"
            asking = Erasures(kept_by, Outbox("operations"), ("mlops",))
            erasure, _ = await asking.request("kim", by=Actor("op-1", "operator"), reason=None)
            # A replay that is under way brings nobody back.
            assert await by() == erasure.tombstone
            await PersonalData(kept_by, HELD_BY_OPERATIONS).erase("kim", erasure.tombstone)
            assert await by() == erasure.tombstone


@servers
async def test_the_queues_of_a_service_are_fed_one_after_the_other(
    messaging: Messaging, make_database: Callable[[str], Any]
) -> None:
    operations_url, kept_by = await make_database("operations")
    mlops_url, database = await make_database("mlops")
    tasks, order = [f"task-{number:03x}" for number in range(30)], list[str]()

    def noting(consumer: EventConsumer) -> None:
        taken: dict[str, type[Event]] = {"photo.deleted": PhotoDeleted, "task.confirmed": TaskConfirmed}
        for queue, event in taken.items():

            async def handle(_: Event, meta: EventMeta) -> None:
                async with database.transaction() as session:
                    await claim_once(session, claim_name("mlops", meta.type), meta.id)
                    order.append(meta.queue)

            consumer.on_any(queue, {event.event_type: event}, prefetch=10)(handle)

    async with messaging.publisher("helper") as publisher:
        world = World(messaging, {"operations": operations_url, "mlops": mlops_url}, publisher)
        async with messaging.channel() as channel:
            for name in ("task.confirmed", "photo.deleted"):
                await (await channel.get_queue(name, ensure=False)).unbind(EVENTS_EXCHANGE, name)
        async with world.consuming(keeping(kept_by, publisher)):
            for task in tasks:
                await publisher.publish(confirmed(task))
                deleted = PhotoDeleted(
                    task_id=task, branch_id="b1", photo_sha256="0" * 64, keep_features=True, deleted_at=NOW
                )
                await publisher.publish(deleted)
            await world.told(2 * len(tasks))
        # Nobody takes anything yet: what waits in one queue must not be overtaken by what is in the next.
        history: Any = world
        queues = [PLAN.queue("task.confirmed"), PLAN.queue("photo.deleted")]
        feeding = asyncio.create_task(feed(history, queues))

        async def fed() -> bool:
            return await messaging.count("task.confirmed") == len(tasks)

        await eventually(fed, what="the first queue's events")
        async with world.consuming(noting):
            await feeding
            await eventually(lambda: len(order) == 2 * len(tasks), what="all events")
    assert order == ["task.confirmed"] * len(tasks) + ["photo.deleted"] * len(tasks)
