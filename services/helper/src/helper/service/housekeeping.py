"""Deletes what has expired: submission keys, old inbox rows, tasks of which nothing is in the store."""

from datetime import timedelta
from functools import partial

import structlog

from helper import repository
from helper.repository import retention, submissions
from helper.repository.clocks import time_to_delete
from helper.service.pieces import Pieces
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
    async with transaction() as session:
        before = await time_to_delete(session) - tasks_kept
    tasks = await delete_in_slices(transaction, retention.forget_tasks(before))
    log.info("housekeeping done", submission_keys=keys, inbox_notes=notes, tasks=tasks)
    return keys, notes, tasks


async def drop_pieces(database: Database, pieces: Pieces) -> int:
    """Delete the uploads that nobody has gone on with; returns how many pieces that were.

    Raises:
        DatabaseUnavailable, ObjectStoreUnavailable.
    """
    async with repository.transaction(database) as session:
        now = await time_to_delete(session)
    return await pieces.drop_old(now)
