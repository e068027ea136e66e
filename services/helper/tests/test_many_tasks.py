"""Among many tasks, a list reads about as many rows as it shows, and what has expired goes in slices."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from helper import repository
from helper.history import Search
from helper.repository import lists, retention
from helper.retention import Limits
from helper.service.housekeeping import forget
from helper.tables import submissions, tasks
from laundry_events.tables import inbox
from laundry_service.storage.database import Database
from laundry_service.storage.slices import SLICE
from laundry_testing.plans import rows_read

pytestmark = pytest.mark.servers

MANY, LIMIT = 20_000, 20
BRANCHES = [f"b{number}" for number in range(10)]
# The newest first; a few of each state that somebody looks for, far down.
FILL = """
INSERT INTO tasks (id, branch_id, helper_id, note, status, version, submitted_at, photo_key, photo_sha256,
    photo_bytes, photo_media_type, corrected, confirmed_by, confirmed_at, confirmed_labels, photo_deleted_at,
    photo_gone_at)
SELECT uuidv7(at - clock_timestamp()), 'b' || n % 20, 'kim', CASE WHEN n % 500 = 0 THEN 'a stain' END,
    CASE WHEN n > :many - 40 THEN 'unreadable' ELSE 'confirmed' END, 3, at, 'photos/' || n,
    repeat('a', 64), 1, 'image/jpeg', n % 100 = 0, 'lee', CASE WHEN n <= :many - 40 THEN at END,
    CASE WHEN n <= :many - 40 THEN '[]'::jsonb END,
    CASE WHEN n > :many / 2 THEN at END, CASE WHEN n > :many / 2 THEN at END
FROM (SELECT n, now() - n * interval '10 minutes' AS at FROM generate_series(1, :many) AS n) AS numbered
"""


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.transaction() as session:
        await session.execute(sa.text("ALTER TABLE tasks DISABLE TRIGGER task_changed"))
        await session.execute(sa.text(FILL), {"many": MANY})
    async with database.single() as connection:
        await connection.execute(sa.text("ANALYZE tasks"))
    return database


def listing(database: Database, **asked: Any) -> Callable[[], Awaitable[object]]:
    async def call() -> object:
        wanted = {"branches": None, "statuses": [], "before": None, "limit": LIMIT} | asked
        async with repository.single(database) as connection:
            return await lists.newest(connection, **wanted)

    return call


async def test_a_list_reads_about_what_it_shows(filled: Database) -> None:
    cases: dict[str, dict[str, Any]] = {
        "all": {},
        "a branch": {"branches": ["b1"]},
        "a branch that has none": {"branches": ["b-none"]},
        "the rare of all": {"statuses": ["unreadable", "submitted"]},
        "the rare of a branch": {"branches": ["b1"], "statuses": ["unreadable"]},
        "none of all": {"statuses": ["submitted"]},
        "those with a note": {"branches": ["b0"], "search": Search(note="nothing")},
    }
    for name, asked in cases.items():
        read = await rows_read(filled, listing(filled, **asked))
        assert read <= 3 * LIMIT, f"{name}: {read} rows"
    of_many = await rows_read(filled, listing(filled, branches=BRANCHES, statuses=["confirmed", "read"]))
    assert of_many <= 3 * LIMIT * len(BRANCHES)


async def test_lists_of_several_branches_and_states_are_in_order_and_whole(filled: Database) -> None:
    async with repository.single(filled) as connection:
        asked: dict[str, Any] = {"branches": ["b1", "b2"], "statuses": ["confirmed", "unreadable"]}
        whole = await lists.newest(connection, **asked, before=None, limit=MANY)
        found, before = [], None
        for _ in range(3):
            page = await lists.newest(connection, **asked, before=before, limit=LIMIT)
            before = page[-1].id
            found += page
    assert [task.id for task in whole] == sorted((task.id for task in whole), reverse=True)
    assert len(whole) == 2 * MANY // 20
    assert {task.status for task in whole} == {"confirmed", "unreadable"}
    assert found == whole[: 3 * LIMIT]


async def test_a_look_for_photos_past_their_time_passes_over_those_that_are_not(filled: Database) -> None:
    async def look() -> object:
        async with filled.transaction() as session:
            return await retention.overdue(session, Limits.of_days(365, 365), now=datetime.now(UTC))

    assert await rows_read(filled, look) <= 20 * len(BRANCHES)


async def test_what_has_expired_goes_in_slices_and_the_rest_stays(filled: Database) -> None:
    """Old tasks go with their keys once nothing of them is in the store; one whose photo is there stays."""
    long_ago = datetime.now(UTC) - timedelta(days=100)
    async with filled.transaction() as session:
        old = tasks.c.submitted_at < long_ago
        with_photo = sa.select(tasks.c.id).where(old).limit(1).scalar_subquery()
        await session.execute(
            sa.update(tasks).where(tasks.c.id == with_photo).values(photo_gone_at=None, photo_deleted_at=None)
        )
        keys = sa.select(tasks.c.helper_id, sa.cast(tasks.c.id, sa.Text), tasks.c.id)
        await session.execute(sa.insert(submissions).from_select(["helper_id", "key", "task_id"], keys))
        numbers = sa.select(sa.literal("c"), sa.cast(sa.func.generate_series(1, SLICE + 2), sa.Text))
        await session.execute(sa.insert(inbox).from_select(["consumer", "message_id"], numbers))
        await session.execute(sa.update(inbox).where(inbox.c.message_id != "1").values(received_at=long_ago))
        expected = (await session.execute(sa.select(sa.func.count()).where(old))).scalar_one() - 1
    gone = await forget(filled, tasks_kept=timedelta(days=100))
    assert gone == (0, SLICE + 1, expected)
    async with filled.session() as session:
        left = (await session.execute(sa.select(sa.func.count()).select_from(submissions))).scalar_one()
        stayed = (await session.execute(sa.select(tasks.c.photo_gone_at).where(old))).scalars().all()
    assert left == MANY - expected
    assert stayed == [None]
