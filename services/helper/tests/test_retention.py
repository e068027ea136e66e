"""Photos past their time leave the store, and the row says so; a failure leaves nothing and loses nothing."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from helper import repository
from helper.decoder import Decoder
from helper.repository import retention
from helper.retention import Limits, Policy, due_at
from helper.service.pictures import PictureService
from helper.service.retention import PhotoRetention
from helper.sweep import count_orphans
from helper.tables import tasks
from laundry_events import Outbox, new_id
from laundry_events.tables import outbox
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.s3 import client
from laundry_testing.serving import metrics_text

from .conftest import MakeSettings, Service, picture

pytestmark = pytest.mark.servers

LIMITS = Limits.of_days(90, 365)
START = datetime.now(UTC)


def keys(bucket: Bucket) -> list[str]:
    listed = client(bucket.store).list_objects_v2(Bucket=bucket.name)
    return [item["Key"] for item in listed.get("Contents", [])]


class Failing(ObjectStore):
    """The real store, whose connection breaks at some deletions."""

    def __init__(self, settings: Any, refused: Iterator[bool]) -> None:
        super().__init__(settings)
        self._refused = refused

    async def delete(self, key: str) -> None:
        if next(self._refused):
            raise ObjectStoreUnavailable("delete: the connection broke")
        await super().delete(key)


class Clock:
    """What the time is for whoever deletes photos."""

    def __init__(self) -> None:
        self.now = START

    async def __call__(self, session: object) -> datetime:
        return self.now

    def after(self, **time: float) -> None:
        self.now = START + timedelta(**time)


class World:
    """A helper, and those who delete its photos."""

    def __init__(self, service: Service, make_settings: MakeSettings) -> None:
        self.service = service
        self.settings = make_settings()
        self.database = Database(self.settings.database_url.get_secret_value(), pool=4)
        self.store = ObjectStore(self.settings)
        self.decoder = Decoder(processes=1, waiting=10, patience_s=30, idle_s=5)
        self.clock = Clock()

    def worker(self, store: ObjectStore | None = None) -> PhotoRetention:
        store = store or self.store
        return PhotoRetention(
            self.database,
            store,
            Outbox("helper"),
            PictureService(self.database, store, self.decoder),
            LIMITS,
            every_s=3600,
            now=self.clock,
        )

    async def photo(self, colour: int, *, shown: bool = True, confirmed: bool = True) -> dict[str, Any]:
        """A task with its photo, its pictures if it was shown, confirmed at the start."""
        task: dict[str, Any] = (await self.service.upload(picture(colour=colour))).json()
        if shown:
            assert (await self.service.get(f"/tasks/{task['id']}/photo")).status_code == 200
        values = {"submitted_at": START, "status": "read"}
        if confirmed:
            labels = [{"label": "shirt", "count": 1}]
            values |= {
                "status": "confirmed",
                "confirmed_labels": labels,
                "corrected": False,
                "confirmed_by": "owner-1",
                "confirmed_at": START,
            }
        async with self.database.transaction() as session:
            await session.execute(sa.update(tasks).where(tasks.c.id == task["id"]).values(**values))
        return task

    async def events(self) -> list[dict[str, Any]]:
        async with self.database.session() as session:
            query = sa.select(outbox.c.body).where(outbox.c.routing_key == "photo.deleted")
            return [json.loads(body) for body in (await session.scalars(query.order_by(outbox.c.id)))]

    async def policy(self, branch: str, **body: Any) -> Any:
        owner = self.service.identity.bearer("owner", branch, sub="owner-1")
        return await self.service.http.put(f"/photo-policies/{branch}", json=body, headers=owner)


@pytest_asyncio.fixture
async def world(alone: Service, make_settings: MakeSettings) -> AsyncIterator[World]:
    world = World(alone, make_settings)
    yield world
    await world.decoder.close()
    await world.database.close()


async def test_a_photo_goes_after_its_time_and_everybody_is_told(world: World, bucket: Bucket) -> None:
    task, unconfirmed = await world.photo(1), await world.photo(2, confirmed=False)
    assert len(keys(bucket)) == 6
    world.clock.after(days=89, hours=23)
    await world.worker().tidy()
    assert len(keys(bucket)) == 6

    world.clock.after(days=90)
    await world.worker().tidy()
    assert all(unconfirmed["id"] in key for key in keys(bucket)), keys(bucket)
    for query in ("", "?size=thumbnail", "?size=original"):
        for role in ("owner", "operator"):
            headers = world.service.identity.bearer(role, "b1")
            answer = await world.service.get(f"/tasks/{task['id']}/photo{query}", headers=headers)
            problem = assert_problem(answer, 410, "photo-deleted")
            assert problem["kept_days"] == 90
    listed = {each["id"]: each for each in (await world.service.get("/tasks")).json()["items"]}
    assert datetime.fromisoformat(listed[task["id"]]["photo"]["deleted_at"]) == world.clock.now
    assert listed[unconfirmed["id"]]["photo"]["deleted_at"] is None
    assert [(e["task_id"], e["keep_features"]) for e in await world.events()] == [(task["id"], False)]
    assert await count_orphans(world.database, world.store) == 0

    world.clock.after(days=365)
    await world.worker().tidy()
    assert keys(bucket) == []
    assert len(await world.events()) == 2


async def test_a_branch_decides_how_long_and_whether_what_was_learnt_stays(
    world: World, bucket: Bucket
) -> None:
    await world.photo(1)
    assert (await world.policy("b1", keep_days=7, keep_features=True)).status_code == 200
    shown = (await world.service.get("/photo-policies/b1")).json()
    assert (shown["keep_days"], shown["keep_features"], shown["changed_by"]) == (7, True, "owner-1")
    silent = await world.service.get(
        "/photo-policies/b2", headers=world.service.identity.bearer("helper", "b2")
    )
    assert (silent.json()["keep_days"], silent.json()["keep_features"]) == (90, False)
    assert_problem(await world.service.get("/photo-policies/b2"), 403, "branch-forbidden")
    helper = world.service.identity.bearer("helper", "b1")
    body = {"keep_days": 9, "keep_features": True}
    answer = await world.service.http.put("/photo-policies/b1", json=body, headers=helper)
    assert_problem(answer, 403, "role-forbidden")
    for days in (0, 366, "7"):
        answer = await world.policy("b1", keep_days=days, keep_features=True)
        assert_problem(answer, 422, "invalid-request")

    world.clock.after(days=7)
    await world.worker().tidy()
    assert keys(bucket) == []
    assert [event["keep_features"] for event in await world.events()] == [True]
    # The branch changes its mind: what was learnt goes, too, and is announced once.
    assert (await world.policy("b1", keep_days=7, keep_features=False)).status_code == 200
    await world.worker().tidy()
    await world.worker().tidy()
    assert [event["keep_features"] for event in await world.events()] == [True, False]


async def test_a_store_that_fails_in_the_middle_loses_and_leaks_nothing(
    world: World, bucket: Bucket, make_settings: MakeSettings
) -> None:
    photos = [await world.photo(number) for number in range(3)]
    world.clock.after(days=91)
    away = ObjectStore(make_settings(s3_endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(ObjectStoreUnavailable):
        await world.worker(away).tidy()
    # Promised and not yet kept: nobody is shown it, and what is past its time can be seen.
    assert len(keys(bucket)) == 9
    for task in photos:
        answer = await world.service.get(f"/tasks/{task['id']}/photo")
        assert_problem(answer, 410, "photo-deleted")
    worker = world.worker(away)
    await worker._measure()
    assert "laundry_helper_photos_overdue 3.0" in metrics_text()

    # Half deleted, again and again, until all is gone; each is announced once.
    chance = random.Random(7)
    failing = Failing(make_settings(), iter(lambda: chance.random() < 0.5, None))
    for _ in range(100):
        try:
            await world.worker(failing).tidy()
        except ObjectStoreUnavailable:
            continue
        break
    assert keys(bucket) == []
    assert len(await world.events()) == 3
    await worker._measure()
    assert "laundry_helper_photos_overdue 0.0" in metrics_text()


async def test_several_replicas_share_the_work_and_announce_each_photo_once(
    world: World, bucket: Bucket
) -> None:
    photos = [await world.photo(number, shown=False) for number in range(8)]
    world.clock.after(days=91)
    await asyncio.gather(*(world.worker().tidy() for _ in range(4)))
    assert keys(bucket) == []
    assert sorted(event["task_id"] for event in await world.events()) == sorted(t["id"] for t in photos)


async def test_pictures_that_are_made_while_the_photo_goes_do_not_stay(world: World, bucket: Bucket) -> None:
    task = await world.photo(1, shown=False)
    async with repository.single(world.database) as connection:
        before = await repository.find(connection, task["id"])
    assert before is not None
    world.clock.after(days=91)
    await world.worker()._expire()
    # Whoever asked before makes them now, of the photo that is still there.
    with pytest.raises(Exception, match=before.photo.key):
        await PictureService(world.database, world.store, world.decoder).of(before)
    lost = f"pictures/b1/{task['id']}/late-display.jpg"
    client(bucket.store).put_object(Bucket=bucket.name, Key=lost, Body=b"x")
    await world.worker().tidy()
    assert keys(bucket) == []


async def test_the_database_finds_exactly_what_the_rule_calls_due(database_url: str, world: World) -> None:
    """In a session of a time zone with daylight saving time, over its change."""
    chance = random.Random(11)
    policies: dict[str, Policy | None] = {"b1": Policy(3), "b2": Policy(120, True), "b3": None}
    now = datetime(2026, 3, 29, 12, tzinfo=UTC)
    rows = []
    for _ in range(300):
        submitted = now - timedelta(hours=chance.randrange(0, 24 * 400))
        confirmed = None if chance.random() < 0.3 else submitted + timedelta(hours=chance.randrange(0, 48))
        rows.append((new_id(), chance.choice(list(policies)), submitted, confirmed))
    # And some at the very moment, and a second before it.
    for branch, policy in policies.items():
        for seconds in (0, 1):
            at = now - (timedelta(days=policy.keep_days) if policy else LIMITS.confirmed)
            rows.append((new_id(), branch, at, at + timedelta(seconds=seconds)))
    expected = {
        id_
        for id_, branch, submitted, confirmed in rows
        if due_at(submitted, confirmed, policies[branch], LIMITS) <= now
    }
    async with world.database.transaction() as session:
        await session.execute(sa.text("SET LOCAL TimeZone = 'Europe/Berlin'"))
        for branch, policy in policies.items():
            if policy is not None:
                said = Policy(policy.keep_days, policy.keep_features, "owner-1", now)
                await retention.set_policy(session, branch, said)
        await session.execute(
            sa.insert(tasks),
            [
                {
                    "id": id_,
                    "branch_id": branch,
                    "helper_id": "h",
                    "status": "read" if confirmed is None else "confirmed",
                    "version": 1,
                    "submitted_at": submitted,
                    "photo_key": f"photos/{id_}",
                    "photo_sha256": "0" * 64,
                    "photo_bytes": 1,
                    "photo_media_type": "image/jpeg",
                    "confirmed_labels": None if confirmed is None else [],
                    "corrected": None if confirmed is None else False,
                    "confirmed_by": None if confirmed is None else "o",
                    "confirmed_at": confirmed,
                }
                for id_, branch, submitted, confirmed in rows
            ],
        )
        assert (await retention.overdue(session, LIMITS, now=now)).number == len(expected)
        found: set[str] = set()
        while some := await retention.expire(session, LIMITS, now=now, limit=50):
            assert len(some) <= 50
            assert all(keeps == (task.branch_id == "b2") for task, keeps in some)
            found |= {task.id for task, _ in some}
        assert found == expected
        oldest = (await retention.overdue(session, LIMITS, now=now)).oldest
        assert oldest == now, "what is marked and not yet gone counts as well"
