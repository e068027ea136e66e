"""Among many faults and machines, a list reads about as many rows as it shows."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_service.storage.database import Database
from laundry_testing.plans import rows_read
from monitoring.repository import equipment, handling

pytestmark = pytest.mark.servers

LIMIT = 20
FILL = (
    """
    INSERT INTO equipment (branch_id, id, kind, open_faults, first_seen_at)
    SELECT 'b' || n % 100, 'm' || n, 'washer', CASE WHEN n % 1000 = 7 THEN 1 ELSE 0 END,
        now() - n * interval '1 minute'
    FROM generate_series(1, 10000) AS n
    """,
    # The open ones are the oldest.
    """
    INSERT INTO fault (id, equipment_id, branch_id, cause, key, detected_at, cleared_at, rung_for)
    SELECT 'f' || lpad(n::text, 6, '0'), 'm' || n, 'b' || n % 100, 'code', 'E1',
        now() - n * interval '1 minute',
        CASE WHEN n < 19950 THEN now() - n * interval '1 minute' END, 1
    FROM generate_series(1, 20000) AS n
    """,
    "ANALYZE",
)


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.transaction() as session:
        for statement in FILL:
            await session.execute(sa.text(statement))
    return database


async def test_a_list_reads_about_what_it_shows(filled: Database) -> None:
    def faults(**asked: Any) -> Callable[[], Awaitable[object]]:
        async def call() -> object:
            async with filled.session() as session:
                return await handling.list_faults(session, after=None, limit=LIMIT, **asked)

        return call

    def machines(**asked: Any) -> Callable[[], Awaitable[object]]:
        async def call() -> object:
            async with filled.session() as session:
                wanted = {"state": None, "kind": None, "after": None, "limit": LIMIT} | asked
                return await equipment.list_equipment(session, **wanted)

        return call

    not_closed = ["open", "escalated", "acknowledged"]
    for name, call in {
        "closed faults of two branches": faults(branches=["b1", "b2"], states=["closed"]),
        "closed faults of a branch that has none": faults(branches=["b-none"], states=["closed"]),
        "open faults of two branches": faults(branches=["b1", "b2"], states=not_closed),
        "open faults of all": faults(branches=None, states=not_closed),
        "closed faults of all": faults(branches=None, states=["closed"]),
        "machines of a branch": machines(branches=["b1"]),
        "faulty machines of all": machines(branches=None, state="faulty"),
    }.items():
        read = await rows_read(filled, call)
        assert read <= 6 * LIMIT, f"{name}: {read} rows"


async def test_faults_of_several_branches_are_in_order_and_whole(filled: Database) -> None:
    async with filled.session() as session:
        found = await handling.list_faults(
            session, branches=["b1", "b2"], states=["closed", "open"], after=None, limit=1000
        )
    assert [each.fault.id for each in found] == sorted(each.fault.id for each in found)
    assert len(found) == 400
    assert {each.kind for each in found if int(each.machine.equipment_id[1:]) <= 10_000} == {"washer"}
