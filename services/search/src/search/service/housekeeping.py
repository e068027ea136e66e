"""Deletes old matches, once an hour: who was matched with what need not be known for ever."""

from datetime import timedelta

import structlog

from laundry_service.storage.database import Database
from search import repository

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


class Housekeeping:
    """Several replicas doing it at once do no harm."""

    def __init__(self, database: Database, *, matches: timedelta) -> None:
        """Take how long matches are kept."""
        self._database = database
        self._matches = matches

    async def tidy(self) -> None:
        """Delete now."""
        async with self._database.transaction() as session:
            gone = await repository.forget_matches(session, self._matches)
        log.info("housekeeping", matches=gone)
