"""A database of the release before goes on, also while that release still runs."""

import pytest
import sqlalchemy as sa

from laundry_service.migrate import upgrade
from laundry_service.storage.database import Database

pytestmark = pytest.mark.servers

OLD_ROWS = (
    "INSERT INTO devices (token, user_id, role, platform, language, branches)"
    " VALUES ('phone-{n}', 'kim', 'owner', 'ios', 'ko', ARRAY['b1'])",
    "INSERT INTO notifications (id, user_id, kind, about, event_id, branch_id, texts, data, state)"
    " VALUES ('00000000-0000-7000-8000-00000000000{n}', 'kim', 'equipment_fault', 'fault:{n}', 'e{n}', 'b1',"
    " '{{}}', '{{}}', 'failed')",
    "INSERT INTO deliveries (notification_id, token, kind, state)"
    " VALUES ('00000000-0000-7000-8000-00000000000{n}', 'phone-{n}', 'equipment_fault', 'failed')",
)


@pytest.fixture
def migrated() -> None:
    """Nothing: the test begins at an older revision."""


async def test_what_the_release_before_wrote_and_still_writes_stays(database_url: str) -> None:
    await upgrade("notification", database_url, "0001")
    database = Database(database_url, pool=1)
    try:
        await _write(database, 1)
        await upgrade("notification", database_url)
        await _write(database, 2)
        async with database.session() as session:
            found = await session.execute(sa.text("SELECT token, alert FROM deliveries ORDER BY token"))
            assert [tuple(row) for row in found] == [("phone-1", None), ("phone-2", None)]
    finally:
        await database.close()


async def _write(database: Database, number: int) -> None:
    async with database.transaction() as session:
        for statement in OLD_ROWS:
            await session.execute(sa.text(statement.format(n=number)))
