"""What time it is for whoever deletes what is old: the earlier of two clocks, as deleting is for ever."""

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository

APART = timedelta(minutes=5)

log = structlog.get_logger(__name__)


def own_time() -> datetime:
    """Return the time by this host's clock."""
    return datetime.now(UTC)


async def time_to_delete(session: AsyncSession) -> datetime:
    """Return the database's time, or this host's if that is earlier: one wrong clock deletes nothing."""
    theirs, ours = await repository.time_of(session), own_time()
    if abs(theirs - ours) > APART:
        log.error(
            "this host's clock and the database's are apart; what is old is judged by the earlier",
            ahead_s=round((ours - theirs).total_seconds()),
        )
    return min(theirs, ours)
