"""People and photos are forgotten; which models learnt from which tasks is not."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from laundry_events import Outbox, new_id
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_learning.features import PhotoFeatures
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.erasing import TOMBSTONE, person_erased
from laundry_testing.traces import in_database
from mlops import repository
from mlops.repository.held import HELD
from mlops.tables import promotions, run_examples, training_examples, training_runs

pytestmark = pytest.mark.servers

Confirmed = Callable[..., TaskConfirmed]
WHO = "owner-kim"
SEEN = PhotoFeatures(b"\0" * 8, b"\1" * 8)


def deleted(event: TaskConfirmed, *, keep: bool) -> PhotoDeleted:
    return PhotoDeleted(
        task_id=event.task_id,
        branch_id=event.branch_id,
        photo_sha256=event.photo.sha256,
        keep_features=keep,
        deleted_at=datetime.now(UTC),
    )


async def store(database: Database, *events: TaskConfirmed) -> None:
    async with database.transaction() as session:
        for event in events:
            await repository.store_examples(session, {new_id(): event})
            await repository.store_features(session, "backbone-1", {event.photo.sha256: SEEN})


async def left(database: Database) -> tuple[set[str], set[str]]:
    """Return the tasks that may teach, and the photos of which features are kept."""
    async with database.session() as session:
        examples = await repository.newest_examples(session, limit=100)
        photos = [each.photo_sha256 for each in examples]
        kept = await repository.stored_features(session, "backbone-1", photos)
        every = await session.scalars(sa.text("SELECT photo_sha256 FROM photo_features"))
        assert set(kept) == set(every)
    return {each.task_id for each in examples}, set(kept)


async def test_what_was_learnt_outlives_the_photo_only_where_the_branch_agreed(
    database: Database, confirmed: Confirmed
) -> None:
    agreed, refused = confirmed(b"one", "shoes"), confirmed(b"two", "pants")
    # The same bytes in a second task of a branch that agrees.
    twin = confirmed(b"two", "pants", branch_id="b2")
    await store(database, agreed, refused, twin)
    async with database.transaction() as session:
        await repository.forget_photo(session, deleted(agreed, keep=True))
        await repository.forget_photo(session, deleted(refused, keep=False))
    hashes = {agreed.photo.sha256, refused.photo.sha256}
    assert await left(database) == ({agreed.task_id, twin.task_id}, hashes)
    async with database.transaction() as session:
        await repository.forget_photo(session, deleted(twin, keep=False))
        # Withdrawn later, it goes as well.
        await repository.forget_photo(session, deleted(agreed, keep=False))
        # What was never confirmed has no example.
        await repository.forget_photo(session, deleted(confirmed(b"three", "hat"), keep=False))
    assert await left(database) == (set(), set())
    async with database.session() as session:
        rows = (await session.execute(sa.select(training_examples.c.photo_deleted_at))).scalars().all()
    assert len(rows) == 3 and all(rows), "the rows stay: they say what a model has learnt"


async def test_an_owner_is_forgotten_and_counts_as_one_person_all_the_same(
    database: Database, confirmed: Confirmed, database_url: str
) -> None:
    mine = [confirmed(b"photo %d" % number, "shoes", confirmed_by=WHO) for number in range(3)]
    await store(database, *mine, confirmed(b"other", "pants", confirmed_by="owner-lee"))
    run = {"id": new_id(), "kind": "refit", "status": "succeeded", "requested_by": WHO}
    async with database.transaction() as session:
        care = {WHO: {"labels": 3}, "owner-lee": {"labels": 1}}
        await session.execute(sa.insert(training_runs).values(**run, care=care))
        first = (await session.execute(sa.select(training_examples.c.id).limit(1))).scalar_one()
        await session.execute(
            sa.insert(run_examples).values(run_id=run["id"], example_id=first, role="learnt")
        )
        await write(session, Act("model.promote", "m-1", Actor(WHO, "operator"), "better"))
    data = PersonalData(database, HELD, audited=True)
    told = [(kind, row) async for kind, row in data.export(WHO)]
    assert [kind for kind, _ in told] == [*["examples"] * 3, "training_runs", "acts"]
    assert told[-1][1]["action"] == "model.promote"

    event, meta = person_erased(WHO)
    await Erasures(database, Outbox("mlops"), data).erase(event, meta)
    assert await in_database(database_url, [WHO]) == []
    async with database.session() as session:
        counts = {each.confirmed_by: each.labels for each in await repository.owners(session)}
        assert counts == {TOMBSTONE: 3, "owner-lee": 1}
        assert set(await repository.latest_label_quality(session)) == {"owner-lee"}
        assert (await session.scalars(sa.select(promotions.c.promoted_by))).all() == []
        body = await session.scalar(sa.text("SELECT body FROM outbox WHERE routing_key = 'person.forgotten'"))
    assert json.loads(body)["rows"] == {
        "examples": 3,
        "promotions": 0,
        "training_runs": 1,
        "label_quality": 1,
    }
