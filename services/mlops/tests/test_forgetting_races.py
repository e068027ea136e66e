"""What is to be forgotten is forgotten, whatever is under way and in whatever order it is heard of."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import httpx
import pytest
import sqlalchemy as sa

from laundry_events import Publisher, new_id
from laundry_events.events import TaskConfirmed
from laundry_learning.features import PhotoFeatures
from laundry_reading.model import Model
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_service.storage.slices import delete_in_slices
from laundry_testing.messaging import eventually
from laundry_testing.models import colour_model
from mlops import repository
from mlops.jobs.training_set import FeatureExtractor
from mlops.tables import early_deletions, training_examples

from .conftest import Confirmed, stock
from .test_forgetting import SEEN, deleted, left

pytestmark = pytest.mark.servers

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


async def somebody_waits(database: Database) -> None:
    async def asked() -> bool:
        async with database.session() as session:
            return bool((await session.execute(sa.text(WAITING))).scalar_one())

    await eventually(asked, what="who waits for a lock")


async def confirm(database: Database, event: TaskConfirmed) -> None:
    async with database.transaction() as session:
        await repository.store_examples(session, {new_id(): event})


async def forget(database: Database, event: TaskConfirmed, *, keep: bool = False) -> None:
    async with database.transaction() as session:
        await repository.forget_photo(session, deleted(event, keep=keep))


async def marked(database: Database, event: TaskConfirmed) -> tuple[bool, bool]:
    """Return whether a task's photo is deleted, and whether its example is retired."""
    columns = training_examples.c
    query = sa.select(columns.photo_deleted_at, columns.retired).where(columns.task_id == event.task_id)
    async with database.session() as session:
        row = (await session.execute(query)).one()
    return row.photo_deleted_at is not None, row.retired


@pytest.mark.parametrize("backbone", ["backbone-1", "of-a-full-run"])
async def test_a_photo_that_is_forgotten_while_a_run_looks_at_others_leaves_no_features(
    backbone: str,
    database: Database,
    store: ObjectStore,
    confirmed: Confirmed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await stock(database, store, confirmed, 6)
    async with database.session() as session:
        examples = await repository.newest_examples(session, limit=10)
    first, last = examples[0], examples[-1]
    fetch = store.get

    async def get(key: str, *, max_bytes: int) -> bytes:
        if key == last.photo_key:
            # The first was seen by now, and what was seen of it is not stored yet.
            event = confirmed(b"any", "shoes", task_id=first.task_id)
            told = deleted(event, keep=False).model_copy(update={"photo_sha256": first.photo_sha256})
            async with database.transaction() as session:
                await repository.forget_photo(session, told)
        return await fetch(key, max_bytes=max_bytes)

    async def nothing(share: float) -> None:
        pass

    monkeypatch.setattr(store, "get", get)
    await FeatureExtractor(database, store, Model.load(colour_model("m")), backbone).extract(
        examples, nothing
    )
    async with database.session() as session:
        kept = await repository.stored_features(session, backbone, [each.photo_sha256 for each in examples])
    assert set(kept) == {each.photo_sha256 for each in examples[1:]}


async def test_features_that_are_being_stored_are_waited_for_and_deleted(
    database: Database, confirmed: Confirmed
) -> None:
    event = confirmed(b"one", "shoes")
    await confirm(database, event)
    async with database.transaction() as storing:
        await repository.store_features(storing, "backbone-1", {event.photo.sha256: SEEN})
        forgetting = asyncio.create_task(forget(database, event))
        await somebody_waits(database)
    await forgetting
    assert await left(database) == (set(), set())


async def test_a_photo_that_is_being_forgotten_is_passed_over_and_nobody_is_waited_for(
    database: Database, confirmed: Confirmed
) -> None:
    going, staying = confirmed(b"one", "shoes"), confirmed(b"two", "pants")
    for event in (going, staying):
        await confirm(database, event)
    seen = {event.photo.sha256: SEEN for event in (going, staying)}
    async with database.transaction() as forgetting:
        await repository.forget_photo(forgetting, deleted(going, keep=False))
        async with asyncio.timeout(20), database.transaction() as storing:
            await repository.store_features(storing, "backbone-1", seen)
    assert await left(database) == ({staying.task_id}, {staying.photo.sha256})


async def test_features_of_what_no_example_shows_are_not_stored(
    database: Database, confirmed: Confirmed
) -> None:
    event, stranger = confirmed(b"one", "shoes"), confirmed(b"two", "shoes")
    twin = confirmed(b"one", "shoes", branch_id="b2")
    for each in (event, twin):
        await confirm(database, each)
    await forget(database, event)
    async with database.transaction() as session:
        for photo in (event.photo.sha256, stranger.photo.sha256):
            await repository.store_features(session, "backbone-1", {photo: PhotoFeatures(b"\0\0", b"\1")})
    # The same bytes were sent to another branch, which decides for itself.
    assert await left(database) == ({twin.task_id}, {twin.photo.sha256})


@pytest.mark.parametrize("keep", [True, False])
async def test_a_deletion_that_comes_before_its_confirmation_waits_for_it(
    database: Database, confirmed: Confirmed, *, keep: bool
) -> None:
    event, other = confirmed(b"one", "shoes"), confirmed(b"two", "pants")
    await forget(database, event, keep=keep)
    # Sent back from the dead letters after a day, beside others.
    async with database.transaction() as session:
        await repository.store_examples(session, {new_id(): each for each in (other, event)})
    assert await marked(database, event) == (True, not keep)
    assert await marked(database, other) == (False, False)
    assert (await left(database))[0] == ({event.task_id, other.task_id} if keep else {other.task_id})
    async with database.session() as session:
        assert (await session.execute(sa.select(early_deletions))).all() == []


@pytest.mark.parametrize("confirmed_at", [0, 1, 2])
@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["in order", "turned round"])
async def test_consent_that_was_withdrawn_stays_so_in_whatever_order_it_is_heard_of(
    database: Database, confirmed: Confirmed, order: tuple[bool, bool], confirmed_at: int
) -> None:
    event = confirmed(b"one", "shoes")
    for number, keep in enumerate(order):
        if number == confirmed_at:
            await confirm(database, event)
        await forget(database, event, keep=keep)
    if confirmed_at == 2:
        await confirm(database, event)
    assert await marked(database, event) == (True, True)


@pytest.mark.parametrize("first", ["confirmation", "deletion"])
async def test_a_deletion_and_its_confirmation_at_the_same_time_meet(
    database: Database, confirmed: Confirmed, first: str
) -> None:
    event = confirmed(b"one", "shoes")
    async with AsyncExitStack() as stack:
        going = await stack.enter_async_context(database.transaction())
        if first == "confirmation":
            await repository.store_examples(going, {new_id(): event})
            other = asyncio.create_task(forget(database, event))
        else:
            await repository.forget_photo(going, deleted(event, keep=False))
            other = asyncio.create_task(confirm(database, event))
        await somebody_waits(database)
    await other
    assert await marked(database, event) == (True, True)


async def test_a_deletion_does_not_wait_for_ever(database: Database, confirmed: Confirmed) -> None:
    old, new = confirmed(b"one", "shoes"), confirmed(b"two", "pants")
    for event in (old, new):
        await forget(database, event)
    async with database.transaction() as session:
        aged = sa.update(early_deletions).where(early_deletions.c.task_id == old.task_id)
        await session.execute(aged.values(created_at=sa.text("now() - interval '31 days'")))
    assert await delete_in_slices(database.transaction, repository.deletions_past_waiting()) == 1
    async with database.session() as session:
        assert (await session.scalars(sa.select(early_deletions.c.task_id))).all() == [new.task_id]


async def test_a_deletion_before_its_confirmation_comes_through_the_broker(
    service: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    helper: Publisher,
    database: Database,
    confirmed: Confirmed,
) -> None:
    event = confirmed(b"one", "shoes")
    async with service():
        await helper.publish(deleted(event, keep=False))

        async def noted() -> bool:
            async with database.session() as session:
                return bool((await session.execute(sa.select(early_deletions))).all())

        await eventually(noted, what="the deletion")
        await helper.publish(event)

        async def stored() -> bool:
            async with database.session() as session:
                return bool((await session.execute(sa.select(training_examples.c.id))).all())

        await eventually(stored, what="the confirmation")
    assert await marked(database, event) == (True, True)
