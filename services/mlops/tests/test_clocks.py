"""Clocks that are minutes or hours apart change neither what came first nor what is seen."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from laundry_events import new_id
from laundry_reading.manifest import Manifest
from laundry_reading.replicas import Serving
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import ready
from mlops import replicas as replicas_module
from mlops import repository
from mlops.replicas import Replicas
from mlops.runs import Status
from mlops.service.registry import AlreadyChampion, NoFormerModel, Registry

from .conftest import Confirmed
from .test_models import add
from .test_replicas import say

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
HOURS = [timedelta(0), timedelta(hours=2), timedelta(hours=-2), timedelta(minutes=1), timedelta(minutes=-1)]
CLOCKS = [timedelta(0), timedelta(minutes=10), timedelta(minutes=-10)]


def by_clock(ahead: timedelta) -> Callable[[], str]:
    """Make ids as a process does whose clock is so far ahead."""
    return lambda: str(UUID(int=UUID(new_id()).int + (int(ahead.total_seconds() * 1000) << 80)))


def how_far(ahead: timedelta) -> str:
    return f"{ahead.total_seconds():+.0f} s"


@pytest_asyncio.fixture
async def shipped(service: Service, registry: Registry) -> None:
    """The shipped model is the champion, and that is announced."""
    async with service() as client:
        await ready(client)
    await registry.announce()


async def versions(database: Database) -> list[str]:
    async with database.session() as session:
        return [each.version for each in await repository.list_promotions(session, limit=10)]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("ahead", CLOCKS, ids=how_far)
async def test_promotions_are_in_the_order_in_which_they_were_made(
    database: Database, registry: Registry, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    await add(database, registry, "better-2")
    with monkeypatch.context() as pod:
        pod.setattr("mlops.repository.models.new_id", by_clock(ahead))
        await registry.promote("better-2", promoted_by="op")
    await registry.roll_back(promoted_by="op")
    assert await versions(database) == ["shipped-1", "better-2", "shipped-1"]
    async with database.session() as session:
        assert [each.version for each in await repository.pending_promotions(session)] == [
            "better-2",
            "shipped-1",
        ]
    # There is nothing before it; least of all itself.
    with pytest.raises(NoFormerModel):
        await registry.roll_back(promoted_by="op")
    await registry.announce()
    async with database.transaction() as session:
        await repository.announce_again(session)
        [again] = await repository.pending_promotions(session)
    assert (again.version, again.kind) == ("shipped-1", "rollback")


@pytest.mark.usefixtures("shipped")
async def test_a_promotion_by_the_release_before_has_its_place_and_those_before_it_theirs(
    database: Database, registry: Registry
) -> None:
    await add(database, registry, "second-2")
    await add(database, registry, "third-3", against="second-2")
    old = (
        "INSERT INTO promotions (id, version, kind, promoted_by, promoted_at) "
        "VALUES (:id, :version, 'person', 'op', now())"
    )
    crown = "UPDATE models SET champion = (version = :version) WHERE champion OR version = :version"
    async with database.transaction() as session:
        # As they were before there was a count: by their ids.
        await session.execute(sa.text("UPDATE promotions SET place = NULL"))
    for version, ahead in (("second-2", timedelta(hours=1)), ("third-3", timedelta(hours=-1))):
        async with database.transaction() as session:
            await session.execute(sa.text(old), {"id": by_clock(ahead)(), "version": version})
            await session.execute(sa.text("UPDATE models SET champion = false"))
            await session.execute(sa.text(crown), {"version": version})
    assert await versions(database) == ["third-3", "second-2", "shipped-1"]
    assert (await registry.roll_back(promoted_by="op")).version == "second-2"


@pytest.mark.usefixtures("shipped")
async def test_of_two_who_go_back_at_once_the_second_is_told_that_it_is_done(
    service: Service,
    database: Database,
    registry: Registry,
    identity: FileIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add(database, registry, "second-2")
    await add(database, registry, "third-3", against="second-2")
    for version in ("second-2", "third-3"):
        await registry.promote(version, promoted_by="op")
    fetch = Registry.fetch
    others: list[str] = []

    async def somebody_else_meanwhile(self: Registry, manifest: Manifest) -> bytes:
        if not others:
            others.append(manifest.version)
            await registry.roll_back(promoted_by="another")
        return await fetch(self, manifest)

    async with service() as client:
        await ready(client)
        with monkeypatch.context() as race:
            race.setattr(Registry, "fetch", somebody_else_meanwhile)
            answer = await client.post("/models/rollback", headers=identity.bearer("operator"))
    assert (answer.status_code, answer.json()["code"]) == (409, "already-champion")
    assert "second-2 is the champion already" in answer.json()["detail"]
    assert (await versions(database))[:2] == ["second-2", "third-3"]
    others.clear()
    monkeypatch.setattr(Registry, "fetch", somebody_else_meanwhile)
    with pytest.raises(AlreadyChampion, match="shipped-1"):
        await registry.roll_back(promoted_by="op")


@pytest.mark.parametrize("ahead", CLOCKS, ids=how_far)
async def test_new_examples_are_counted_whatever_clock_made_their_ids(
    database: Database, confirmed: Confirmed, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    monkeypatch.setattr("mlops.repository.examples.new_id", by_clock(ahead))

    async def store() -> None:
        async with database.transaction() as session:
            await repository.store_examples(session, {new_id(): confirmed(b"photo", "shoes")})

    await store()
    async with database.transaction() as session:
        run = await repository.add_run(session, "full", requested_by="op")
    async with database.session() as session:
        assert (await repository.since_last_run(session)).corrections == 0
        [before] = await repository.newest_examples(session, limit=9, before_run=run.id)
    await store()
    await store()
    async with database.session() as session:
        assert (await repository.since_last_run(session)).corrections == 2
        # A run that is started again finds what it found at first.
        assert await repository.newest_examples(session, limit=9, before_run=run.id) == [before]
        assert len(await repository.newest_examples(session, limit=9)) == 3


@pytest.mark.parametrize("ahead", CLOCKS, ids=how_far)
async def test_runs_go_in_the_order_in_which_they_were_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    async def ask() -> str:
        async with database.transaction() as session:
            return (await repository.add_run(session, "refit", requested_by="op")).id

    first = await ask()
    with monkeypatch.context() as pod:
        pod.setattr("mlops.repository.runs.new_id", by_clock(ahead))
        second = await ask()
    third = await ask()
    async with database.transaction() as session:
        asked = [run.id for run in await repository.open_runs(session, "queued")]
        assert asked == [first, second, third]
        for run_id, end in ((first, "failed"), (second, "succeeded"), (third, "failed")):
            await repository.move_run(session, run_id, "running")
            await repository.move_run(session, run_id, cast(Status, end))
        assert await repository.failures_in_a_row(session) == 1


@pytest.fixture
def stores_clock(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set the store's clock so far ahead of ours, for all that it stored and will."""
    listing = store.listing

    def set_to(ahead: timedelta) -> None:
        async def shifted(folder: str) -> AsyncIterator[tuple[str, datetime]]:
            async for key, written in listing(folder):
                yield key, written + ahead

        monkeypatch.setattr(store, "listing", shifted)

    return set_to


@pytest.mark.parametrize("ahead", HOURS, ids=how_far)
async def test_a_replica_is_seen_though_the_stores_clock_is_far_from_ours(
    store: ObjectStore, stores_clock: Callable[[timedelta], None], ahead: timedelta
) -> None:
    serving = Serving(replica="ai-1", version="m-1")
    await say(store, serving)
    stores_clock(ahead)
    replicas = Replicas(store)
    for _ in range(2):
        [(seen, at)] = await replicas.seen()
        assert seen == serving
        assert abs(at - ahead - datetime.now(UTC)) < timedelta(minutes=5)
    assert await store.get(serving.key, max_bytes=10_000)


@pytest.mark.parametrize("ahead", HOURS, ids=how_far)
async def test_a_replica_that_is_silent_by_the_stores_clock_is_missed_though_all_are(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    serving = Serving(replica="ai-1", version="m-1")
    await say(store, serving)
    listing = store.listing
    silent_for = timedelta(minutes=2)

    async def later(folder: str) -> AsyncIterator[tuple[str, datetime]]:
        async for key, written in listing(folder):
            # What is stored now is as much later.
            yield key, written + ahead - (silent_for if key == serving.key else timedelta(0))

    monkeypatch.setattr(store, "listing", later)
    replicas = Replicas(store)
    assert await replicas.seen() == []
    assert await store.get(serving.key, max_bytes=10_000)
    silent_for = timedelta(hours=2)
    assert await replicas.seen() == []
    with pytest.raises(ObjectMissing):
        await store.get(serving.key, max_bytes=10_000)


async def test_the_store_is_asked_for_its_time_once_in_a_while(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.put
    keys: list[str] = []

    async def noted(key: str, body: bytes, *, media_type: str) -> None:
        keys.append(key)
        await put(key, body, media_type=media_type)

    monkeypatch.setattr(store, "put", noted)
    replicas = Replicas(store)
    for _ in range(3):
        await replicas.seen()
    assert len(keys) == 1
    # A clock that was set meanwhile is noticed.
    monkeypatch.setattr(replicas_module, "CLOCK_EVERY_S", -1.0)
    await replicas.seen()
    assert len(keys) == 2
