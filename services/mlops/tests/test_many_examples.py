"""Among many examples, what is looked for every minute reads a few."""

import pytest
import sqlalchemy as sa

from laundry_service.storage.database import Database
from laundry_testing.plans import rows_read
from mlops import repository

pytestmark = pytest.mark.servers

MANY, NEW = 20_000, 30
FILL = (
    "INSERT INTO example_branches (branch_id, side) VALUES ('b1', 'learning'), ('b2', 'holdout')",
    """
    INSERT INTO training_examples (id, task_id, task_version, event_id, branch_id, photo_key, photo_sha256,
        photo_bytes, photo_media_type, read_labels, labels, corrected, confirmed_by, confirmed_at, created_at)
    SELECT uuidv7(at - clock_timestamp())::text, 't' || n, 1, 'e' || n, 'b' || 1 + n % 2, 'k', 'x', 1,
        'image/jpeg', '[]', '[]', n % 3 = 0, 'kim', at, at
    FROM (SELECT n, now() - n * interval '10 minutes' AS at FROM generate_series(1, :many) AS n) AS numbered
    """,
    # Only the newest are newer than the last run.
    """
    INSERT INTO training_runs (id, kind, status, requested_by, created_at)
    VALUES ('r1', 'refit', 'succeeded', 'kim', now() - :new * interval '10 minutes' - interval '5 minutes')
    """,
)


async def test_a_look_for_new_examples_passes_over_the_old(database: Database) -> None:
    async with database.transaction() as session:
        for statement in FILL:
            asked = {name: value for name, value in (("many", MANY), ("new", NEW)) if f":{name}" in statement}
            await session.execute(sa.text(statement), asked)
        await session.execute(sa.text("ANALYZE"))

    async def look() -> object:
        async with database.session() as session:
            found = await repository.since_last_run(session)
            assert (found.examples, found.corrections) == (NEW // 2, NEW // 6)
            return found

    assert await rows_read(database, look) <= 5 * NEW
