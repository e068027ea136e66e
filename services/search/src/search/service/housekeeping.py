"""Deletes old matches and inbox rows: they need not be kept for ever."""

from datetime import timedelta

import structlog

from laundry_events.inbox import expired
from laundry_events.tables import inbox
from laundry_service.storage.database import Database
from laundry_service.storage.slices import delete_in_slices, slice_of
from search import repository

# A few turns of this job, and many times what matching may take.
JUST_MATCHED = timedelta(days=2)

log = structlog.get_logger(__name__)


async def forget_old_matches(database: Database, older_than: timedelta) -> int:
    """Delete old matches; returns how many. Several replicas may do so at once."""
    gone = await delete_in_slices(database.transaction, repository.forget_matches(older_than))
    gone += await delete_in_slices(database.transaction, repository.forget_matches_of_nobody(JUST_MATCHED))
    notes = await delete_in_slices(database.transaction, slice_of(inbox, expired()))
    log.info("housekeeping", matches=gone, inbox=notes)
    return gone
