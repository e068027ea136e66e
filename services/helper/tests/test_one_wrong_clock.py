"""A clock that is far ahead, of one replica or of the database, deletes nothing before its time."""

import io
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository
from helper.decoder import Decoder
from helper.repository import clocks
from helper.repository.clocks import time_to_delete
from helper.retention import Limits
from helper.service.housekeeping import drop_pieces, forget
from helper.service.pictures import PictureService
from helper.service.pieces import Pieces
from helper.service.retention import PhotoRetention
from helper.sweep import orphans
from helper.tables import tasks
from laundry_events import Outbox
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.logs import logged_by
from laundry_testing.serving import metrics_text

from .conftest import MakeSettings, Service

pytestmark = pytest.mark.servers

AHEAD = timedelta(days=400)
DAY = timedelta(days=1)


@pytest.fixture(params=["this host", "the database"])
def one_ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two clocks is more than a year ahead."""
    if request.param == "this host":
        monkeypatch.setattr(clocks, "own_time", lambda: datetime.now(UTC) + AHEAD)
        return
    truly = repository.time_of

    async def ahead(session: AsyncSession) -> datetime:
        return await truly(session) + AHEAD

    monkeypatch.setattr(repository, "time_of", ahead)


@pytest.mark.usefixtures("one_ahead")
async def test_it_deletes_nothing_early(
    alone: Service, make_settings: MakeSettings, database_url: str
) -> None:
    settings = make_settings()
    database, store = Database(database_url, pool=2), ObjectStore(settings)
    decoder = Decoder(processes=1, waiting=1, patience_s=30, idle_s=5)
    await alone.upload()
    async with database.transaction() as session:
        photo = (await session.execute(sa.select(tasks.c.photo_key))).scalar_one()
    retention = PhotoRetention(
        database,
        store,
        Outbox("helper"),
        PictureService(database, store, decoder),
        Limits.of_days(90, 365),
        every_s=3600,
    )
    with logged_by("helper.repository.clocks") as lines:
        await retention.tidy()
    assert {(line["log_level"], abs(line["ahead_s"]) > 3600) for line in lines} == {("error", True)}
    assert await store.get(photo, max_bytes=100_000)
    await retention._measure()
    assert "laundry_helper_photos_overdue 0.0" in metrics_text()

    async with database.transaction() as session:
        await session.execute(sa.update(tasks).values(photo_gone_at=datetime.now(UTC)))
    assert (await forget(database, tasks_kept=DAY))[2] == 0

    pieces = Pieces(store, helper_bytes=100, keep=DAY)
    await pieces.add("kim", "a", 0, b"12345")
    assert await drop_pieces(database, pieces) == 0
    assert await pieces.put_together("kim", "a", io.BytesIO()) == 5

    left = "photos/b1/2026/01/01890000-0000-7000-8000-000000000000.jpg"
    await store.put(left, b"x", media_type="image/jpeg")
    assert [key async for key in orphans(database, store, older_than=DAY)] == []
    await decoder.close()
    await database.close()


async def test_clocks_that_agree_are_not_talked_of(database_url: str) -> None:
    database = Database(database_url, pool=1)
    with logged_by("helper.repository.clocks") as lines:
        async with database.transaction() as session:
            now = await time_to_delete(session)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert not lines
    await database.close()
