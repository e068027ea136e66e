"""Deletes expired submission keys and old inbox rows."""

import structlog

from helper import repository
from helper.repository import submissions
from laundry_events.inbox import delete_expired
from laundry_service.storage.database import Database

log = structlog.get_logger(__name__)


async def forget(database: Database) -> tuple[int, int]:
    """Delete expired submission keys and old inbox rows; returns how many of each.

    What one replica has deleted the other finds gone.

    Raises:
        DatabaseUnavailable.
    """
    async with repository.transaction(database) as session:
        keys, notes = await submissions.forget_expired(session), await delete_expired(session)
    log.info("housekeeping done", submission_keys=keys, inbox_notes=notes)
    return keys, notes
