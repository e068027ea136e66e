"""Photos that the store refuses to delete, as under an object lock, hold up no other."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from helper.decoder import Decoder
from helper.retention import Limits
from helper.service.pictures import PictureService
from helper.service.retention import REFUSED_AT_MOST, PhotoRetention
from helper.tables import tasks
from laundry_events import Outbox, new_id
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

from .conftest import MakeSettings, picture

pytestmark = pytest.mark.servers

LOCKED = REFUSED_AT_MOST + 1
LONG_AGO = datetime.now(UTC) - timedelta(days=100)


class Locking(ObjectStore):
    """The real store, which refuses to delete some objects."""

    locked: frozenset[str] = frozenset()

    async def delete(self, key: str) -> None:
        if key in self.locked:
            raise ObjectStoreUnavailable("delete: Access Denied because object protected by object lock.")
        await super().delete(key)


class World:
    """A database, its store, and who deletes photos in both."""

    def __init__(self, database_url: str, settings: Any) -> None:
        self.database = Database(database_url, pool=2)
        self.store = Locking(settings)
        self.decoder = Decoder(processes=1, waiting=10, patience_s=30, idle_s=5)
        self.retention = PhotoRetention(
            self.database,
            self.store,
            Outbox("helper"),
            PictureService(self.database, self.store, self.decoder),
            Limits.of_days(90, 365),
            every_s=3600,
        )

    async def photo(self, **values: Any) -> str:
        """Store a photo and its task; returns the photo's key."""
        id_ = new_id()
        row = {
            "id": id_,
            "branch_id": "b1",
            "helper_id": "h",
            "status": "read",
            "version": 1,
            "submitted_at": LONG_AGO,
            "photo_key": f"photos/b1/{id_}.jpg",
            "photo_sha256": "0" * 64,
            "photo_bytes": 1,
            "photo_media_type": "image/jpeg",
        }
        await self.store.put(f"photos/b1/{id_}.jpg", picture(), media_type="image/jpeg")
        async with self.database.transaction() as session:
            await session.execute(sa.insert(tasks).values(row | values))
        return f"photos/b1/{id_}.jpg"

    async def stored(self) -> set[str]:
        return {key async for key, _ in self.store.listing("photos/")}


@pytest_asyncio.fixture
async def world(database_url: str, make_settings: MakeSettings) -> AsyncIterator[World]:
    world = World(database_url, make_settings())
    yield world
    await world.decoder.close()
    await world.database.close()


@pytest.mark.parametrize(
    "kind",
    [{"photo_deleted_at": LONG_AGO}, {"only_pictures": True}],
    ids=["past their time", "of a forgotten helper"],
)
async def test_others_are_deleted_behind_many_that_are_refused(world: World, kind: dict[str, Any]) -> None:
    locked = [await world.photo(**kind) for _ in range(LOCKED)]
    await world.photo(**kind)
    world.store.locked = frozenset(locked)
    for _ in range(2):
        with pytest.raises(ObjectStoreUnavailable):
            await world.retention.tidy()
    assert await world.stored() == set(locked)
    # They are not forgotten, either.
    world.store.locked = frozenset()
    await world.retention.tidy()
    assert await world.stored() == set()


async def test_a_refused_photo_does_not_keep_what_tells_of_a_forgotten_helper(world: World) -> None:
    locked = await world.photo(photo_deleted_at=LONG_AGO)
    await world.photo(only_pictures=True)
    world.store.locked = frozenset({locked})
    with pytest.raises(ObjectStoreUnavailable):
        await world.retention.tidy()
    assert await world.stored() == {locked}
