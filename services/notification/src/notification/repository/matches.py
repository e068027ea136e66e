"""Queries of which recommendations a customer is told. Each works in its caller's transaction.

Who decides holds the customer's consent; deliveries come before notifications, as wherever both are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.customer_rules import Told
from notification.repository.history import set_states
from notification.repository.settled import which_are
from notification.tables import deliveries, notifications


@dataclass(frozen=True)
class Candidate:
    """A recommendation that may be told.

    Attributes:
        admitted_at: when it took its place among those of the week; ``None``: it has none yet.
        stands: whether the branch still says so.
    """

    content: str
    admitted_at: datetime | None
    stands: bool


async def candidate(session: AsyncSession, notification_id: str) -> Candidate | None:
    """Read a recommendation; ``None`` if it is gone."""
    found = await session.execute(
        sa.select(notifications.c.content, notifications.c.about, notifications.c.admitted_at).where(
            notifications.c.id == notification_id
        )
    )
    row = found.first()
    # Those of the release before have a subject only.
    if row is None:
        return None
    stands = not await which_are(session, [row.about])
    return Candidate(row.content or row.about, row.admitted_at, stands)


async def told(session: AsyncSession, customer_id: str) -> Sequence[Told]:
    """Read what a customer was told, as long as the history is kept."""
    found = await session.execute(
        sa.select(notifications.c.content, notifications.c.about, notifications.c.admitted_at).where(
            notifications.c.user_id == customer_id,
            notifications.c.kind == "branch_match",
            notifications.c.admitted_at.is_not(None),
        )
    )
    return [Told(row.content or row.about, row.admitted_at) for row in found]


async def admit(session: AsyncSession, notification_id: str, at: datetime) -> None:
    """Give a recommendation its place among those of the week."""
    await session.execute(
        sa.update(notifications).where(notifications.c.id == notification_id).values(admitted_at=at)
    )


async def defer(session: AsyncSession, notification_id: str, until: datetime) -> None:
    """Let a recommendation wait, on every phone that it has not reached."""
    await session.execute(
        sa.update(deliveries)
        .where(deliveries.c.notification_id == notification_id, deliveries.c.state == "pending")
        .values(next_attempt_at=until)
    )


async def suppress(session: AsyncSession, notification_ids: Sequence[str]) -> None:
    """Push these no more: they are in the list only, unless a phone had them already."""
    if not notification_ids:
        return
    dropped = await session.execute(
        sa.delete(deliveries)
        .where(deliveries.c.notification_id.in_(notification_ids), deliveries.c.state == "pending")
        .returning(deliveries.c.notification_id)
    )
    ids = {str(each) for each in dropped.scalars()}
    sent = await session.execute(
        sa.select(notifications.c.id).where(notifications.c.id.in_(ids), notifications.c.state == "sent")
    )
    await set_states(session, ids - {str(each) for each in sent.scalars()}, "suppressed")


async def suppress_waiting(session: AsyncSession, customer_id: str) -> int:
    """Push nothing that still waits for a customer; returns how many."""
    waiting = await session.execute(
        sa.select(notifications.c.id).where(
            notifications.c.user_id == customer_id,
            notifications.c.kind == "branch_match",
            notifications.c.state == "pending",
        )
    )
    ids = [str(each) for each in waiting.scalars()]
    await suppress(session, ids)
    return len(ids)
