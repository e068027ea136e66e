"""A push that failed is found among many that were not tried yet, and the other way round."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from laundry_service.storage.database import Database
from laundry_testing.plans import rows_read
from notification.repository import deliveries

pytestmark = pytest.mark.servers

FILL = (
    """
    INSERT INTO devices (token, user_id, role, platform, language, branches)
    SELECT 'phone-' || n, 'customer-' || n, 'customer', 'ios', 'ko', '{}' FROM generate_series(1, 20000) AS n
    """,
    "ALTER TABLE notifications DISABLE TRIGGER USER",
    """
    INSERT INTO notifications (id, user_id, kind, about, event_id, branch_id, texts, data, state)
    SELECT uuidv7(), 'customer-' || n, 'branch_match', 'preference:1', 'e', 'b1', '{}', '{}', 'pending'
    FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO deliveries (notification_id, token, kind, attempts, next_attempt_at)
    SELECT id, 'phone-' || substr(user_id, 10), 'branch_match', 0, now() - interval '1 minute'
    FROM notifications
    """,
    "ANALYZE",
)


async def test_leasing_reads_about_what_it_leases(database: Database) -> None:
    async with database.transaction() as session:
        for statement in FILL:
            await session.execute(sa.text(statement))

    async def lease() -> object:
        async with database.transaction() as session:
            return await deliveries.lease_match_deliveries(
                session, first_tries=10, retries=10, lease=timedelta(seconds=30)
            )

    assert await rows_read(database, lease) <= 300
