"""Deletes what is past its time, once an hour."""

from datetime import timedelta

import structlog

from laundry_events.inbox import forget_old
from laundry_service.database import Database
from notification.repository import history

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


class Housekeeping:
    """Several replicas doing it at once do no harm."""

    def __init__(
        self, database: Database, *, history: timedelta, stale_device: timedelta, owner_known: timedelta
    ) -> None:
        """Take how long each thing is kept."""
        self._database = database
        self._history = history
        self._stale_device = stale_device
        self._owner_known = owner_known

    async def tidy(self) -> None:
        """Delete now."""
        async with self._database.transaction() as session:
            rows = await history.forget(
                session,
                history=self._history,
                stale_device=self._stale_device,
                owner_known=self._owner_known,
            )
            inbox = await forget_old(session)
        log.info("housekeeping", rows=list(rows), inbox=inbox)
