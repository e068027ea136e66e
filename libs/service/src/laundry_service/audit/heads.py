"""Logs the audit's head: logs kept elsewhere can then prove that its end was not cut off."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

HEAD = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
EVERY_S = 300.0

log = structlog.get_logger(__name__)


def head_teller(fetch: Callable[[], Awaitable[Sequence[Any] | None]]) -> Callable[[], Awaitable[None]]:
    """Return a job that logs the head whenever it has changed.

    Args:
        fetch: asks the database for ``HEAD``'s row, None if there is none.
    """
    told: str | None = None

    async def tell() -> None:
        nonlocal told
        row = await fetch()
        head = None if row is None else f"{row[0]}:{row[1]}"
        if head is not None and head != told:
            log.info("audit head", head=head)
            told = head

    return tell
