"""Deletes expired rows."""

import structlog

from laundry_service.storage.database import Database
from laundry_service.storage.slices import delete_in_slices
from notification.repository.retention import Retention, expired

log = structlog.get_logger(__name__)


class Housekeeping:
    """Does no harm if several replicas do it at once."""

    def __init__(self, database: Database, kept: Retention) -> None:
        self._database = database
        self._kept = kept

    async def tidy(self) -> None:
        """Delete what has expired by now."""
        rows = [
            await delete_in_slices(self._database.transaction, statement) for statement in expired(self._kept)
        ]
        log.info("housekeeping", rows=rows)
