"""Finds photos and pictures without a task: ``python -m helper.sweep`` lists, ``--delete`` deletes them.

An upload that dies between its photo and its task leaves the photo behind; nobody was told 201 for it.
Pictures for showing are left behind by a reading that came too late, or by who made them when another had. It
is run by a person, not by a timer: against a database that was restored from an older backup it would find
photos that are still needed.
"""

import argparse
import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import PurePosixPath

from prometheus_client import Gauge

from helper import repository
from helper.repository.clocks import time_to_delete
from helper.settings import Settings
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

ORPHANS = Gauge(
    "laundry_helper_orphaned_objects", "Photos and pictures of more than a day ago that no task has"
)
PREFIXES = ("photos/", "pictures/")
AT_ONCE = 500


async def orphans(database: Database, store: ObjectStore, *, older_than: timedelta) -> AsyncIterator[str]:
    """Yield the keys of photos and pictures without a task; younger ones may still get theirs.

    Raises:
        DatabaseUnavailable, ObjectStoreUnavailable.
    """
    async with repository.transaction(database) as session:
        before = await time_to_delete(session) - older_than
    batch: dict[str, str] = {}
    for prefix in PREFIXES:
        async for key, stored_at in store.listing(prefix):
            task_id = _task_id(key)
            if stored_at < before and task_id is not None:
                batch[key] = task_id
            if len(batch) >= AT_ONCE:
                for orphan in await _without_task(database, batch):
                    yield orphan
                batch = {}
    for orphan in await _without_task(database, batch):
        yield orphan


async def count_orphans(database: Database, store: ObjectStore) -> int:
    """Count photos and pictures without a task, for the metric; a person deletes them.

    Raises:
        DatabaseUnavailable, ObjectStoreUnavailable.
    """
    number = 0
    async for _ in orphans(database, store, older_than=timedelta(days=1)):
        number += 1
    ORPHANS.set(number)
    return number


async def _without_task(database: Database, batch: dict[str, str]) -> list[str]:
    async with repository.transaction(database) as session:
        known = await repository.known_keys(session, batch.values())
    return [key for key in batch if key not in known]


def _task_id(key: str) -> str | None:
    # What is not named as photos are named was put there by somebody else, and stays.
    path = PurePosixPath(key)
    try:
        return str(uuid.UUID(path.parent.name if key.startswith("pictures/") else path.stem))
    except ValueError:
        return None


async def _sweep(settings: Settings, *, hours: float, delete: bool) -> int:
    database = Database(settings.database_url.get_secret_value(), pool=1)
    store = ObjectStore(settings)
    try:
        # Listed to the end before the first is deleted: a listing that changes under way may skip some.
        found = [key async for key in orphans(database, store, older_than=timedelta(hours=hours))]
        for key in found:
            if delete:
                await store.delete(key)
            print(f"{'deleted' if delete else 'would delete'} {key}")
    finally:
        await database.close()
    return len(found)


def main() -> None:
    """List or delete photos without a task, with the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m helper.sweep", description=__doc__)
    parser.add_argument("--delete", action="store_true", help="delete what is found; else only list it")
    parser.add_argument("--older-than-hours", type=float, default=24.0, help="spare younger photos (24)")
    arguments = parser.parse_args()
    try:
        found = asyncio.run(_sweep(Settings(), hours=arguments.older_than_hours, delete=arguments.delete))
    except (repository.DatabaseUnavailable, ObjectStoreUnavailable) as error:
        sys.exit(f"the sweep ended early: {error}")
    print(
        f"{found} photos and pictures without a task"
        + ("" if arguments.delete else "; --delete deletes them")
    )


if __name__ == "__main__":
    main()
