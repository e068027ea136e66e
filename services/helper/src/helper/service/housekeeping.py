"""Deletes what has expired: submission keys, old inbox rows, tasks of which nothing is in the store."""

from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from helper import repository
from helper.repository import retention, submissions
from laundry_events.inbox import expired
from laundry_events.tables import inbox
from laundry_service.storage.database import Database
from laundry_service.storage.slices import delete_in_slices, slice_of

log = structlog.get_logger(__name__)


async def forget(database: Database, *, tasks_kept: timedelta) -> tuple[int, int, int]:
    """Delete expired submission keys, old inbox rows and old tasks; returns how many of each.

    What one replica has deleted the other finds gone.

    Raises:
        DatabaseUnavailable.
    """
    transaction = partial(repository.transaction, database)
    keys = await delete_in_slices(transaction, submissions.forget_expired())
    notes = await delete_in_slices(transaction, slice_of(inbox, expired()))
    before = datetime.now(UTC) - tasks_kept
    tasks = await delete_in_slices(transaction, retention.forget_tasks(before))
    log.info("housekeeping done", submission_keys=keys, inbox_notes=notes, tasks=tasks)
    return keys, notes, tasks
