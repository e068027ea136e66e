"""The sweep finds photos without a task and nothing else."""

from datetime import timedelta

import pytest

from helper.sweep import orphans
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore

from .conftest import MakeSettings, Service

pytestmark = pytest.mark.servers


async def test_only_photos_without_a_task_are_found(
    alone: Service, make_settings: MakeSettings, database_url: str
) -> None:
    await alone.upload()
    settings = make_settings()
    store, database = ObjectStore(settings), Database(database_url, pool=1)
    left = "photos/b1/2026/01/01890000-0000-7000-8000-000000000000.jpg"
    for key in (left, "photos/b1/2026/01/readme.txt", "models/01890000-0000-7000-8000-000000000001.onnx"):
        await store.put(key, b"x", media_type="image/jpeg")
    hurry, patience = timedelta(seconds=-60), timedelta(hours=24)
    assert [key async for key in orphans(database, store, older_than=hurry)] == [left]
    assert [key async for key in orphans(database, store, older_than=patience)] == []
    await database.close()
