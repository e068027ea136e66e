"""Deletes expired rows, once an hour."""

import structlog

from laundry_events.inbox import delete_expired as delete_expired_inbox
from laundry_service.storage.database import Database
from notification.repository.retention import Retention, delete_expired

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


class Housekeeping:
    """Does no harm if several replicas do it at once."""

    def __init__(self, database: Database, kept: Retention) -> None:
        self._database = database
        self._kept = kept

    async def tidy(self) -> None:
        """Delete what has expired by now."""
        async with self._database.transaction() as session:
            rows = await delete_expired(session, self._kept)
            inbox = await delete_expired_inbox(session)
        log.info("housekeeping", rows=rows, inbox=inbox)
