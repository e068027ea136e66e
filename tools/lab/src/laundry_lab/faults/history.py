"""Counts effects in the database, with triggers that record each change while faults are injected.

The services' own tables cannot show this: a repeated effect leaves the same row.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import asyncpg

from laundry_lab.bench.stage import Stage

REMOVED_S = 60.0
# An UPDATE counts if it sets the status at all, also to what it was.
WATCHED: Mapping[str, tuple[str, str, str, str]] = {
    "helper": ("tasks", "UPDATE OF status", "NEW.id::text", "NEW.status"),
    "mlops": ("training_examples", "INSERT OR UPDATE", "NEW.task_id::text", "'example'"),
}
CREATE = """
CREATE TABLE faults_history (
    about text NOT NULL, what text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
-- Made by the owner, written by the service's own login, whose statement fires the trigger.
GRANT SELECT, INSERT ON faults_history TO PUBLIC;
CREATE FUNCTION faults_note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO faults_history (about, what) VALUES ({about}, {what}); RETURN NULL; END $$;
CREATE TRIGGER faults_note AFTER {change} ON {table} FOR EACH ROW EXECUTE FUNCTION faults_note();
"""
DROP = """
DROP TRIGGER IF EXISTS faults_note ON {table};
DROP FUNCTION IF EXISTS faults_note();
DROP TABLE IF EXISTS faults_history;
"""
# A photo is read once, whatever comes of it; a task is confirmed once; it is one example.
REPEATED = """
SELECT about, CASE WHEN what IN ('read', 'unreadable') THEN 'reading' ELSE what END AS effect
FROM faults_history GROUP BY 1, 2 HAVING count(*) > 1
"""


@asynccontextmanager
async def kept(stage: Stage) -> AsyncIterator[None]:
    """Record every effect until the block ends; also removes leftovers of a killed run."""
    for service, (table, change, about, what) in WATCHED.items():
        await _execute(stage, service, DROP.format(table=table))
        await _execute(stage, service, CREATE.format(table=table, change=change, about=about, what=what))
    try:
        yield
    finally:
        for service, (table, *_) in WATCHED.items():
            with suppress(TimeoutError):
                async with asyncio.timeout(REMOVED_S):
                    await _remove(stage, service, table)


async def _remove(stage: Stage, service: str, table: str) -> None:
    while True:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await _execute(stage, service, DROP.format(table=table))
            return
        await asyncio.sleep(0.5)


def _owner(stage: Stage, service: str) -> str:
    document = stage.document
    # A stack of a release before names none.
    return str(document.get("postgres_owner_urls", {}).get(service) or document["postgres_urls"][service])


async def _execute(stage: Stage, service: str, statements: str) -> None:
    connection = await asyncpg.connect(_owner(stage, service), timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(statements, timeout=30)
    finally:
        await connection.close(timeout=2)
