"""Deletes old matches: they need not be kept for ever."""

from datetime import timedelta

import structlog

from laundry_service.storage.database import Database
from search import repository

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


async def forget_old_matches(database: Database, older_than: timedelta) -> int:
    """Delete old matches; returns how many. Several replicas may do so at once."""
    async with database.transaction() as session:
        gone = await repository.forget_matches(session, older_than)
    log.info("housekeeping", matches=gone)
    return gone
