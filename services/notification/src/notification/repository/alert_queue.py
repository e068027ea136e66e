"""Queries of the queue of fault alerts on phones: which are due, who pushes them, when they are due again.

Each works in its caller's transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.push_scheduling import Capacity, DueAlert
from notification.tables import fault_alerts

CANDIDATES = 500
NO_LEASE: dict[str, Any] = {"leased_until": None, "failures": 0, "last_error": None}
# As notification.push.service_of.
SERVICE = "CASE WHEN strpos(token, '://') > 0 THEN split_part(token, '/', 3) ELSE 'fcm' END"
# What may not be sent now must not crowd out what may.
DUE = sa.text(f"""
SELECT token, branch_id, failures FROM (
    SELECT token, branch_id, failures, due_at,
        row_number() OVER (PARTITION BY branch_id, {SERVICE}, failures > 0 ORDER BY due_at) AS turn
    FROM fault_alerts
    WHERE due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until <= clock_timestamp())
        AND token <> ALL(CAST(:busy AS text[]))
        AND {SERVICE} <> ALL(
            CASE WHEN failures = 0 THEN CAST(:no_first_tries AS text[]) ELSE CAST(:no_retries AS text[]) END
        )
) AS due
WHERE turn <= :per_branch ORDER BY turn, due_at LIMIT :at_most
""")  # noqa: S608 - of constants
LEASE = sa.text("""
UPDATE fault_alerts SET leased_until = clock_timestamp() + CAST(:lease AS interval)
FROM (
    SELECT token, branch_id FROM fault_alerts
    WHERE (token, branch_id) IN (
        SELECT * FROM unnest(CAST(:tokens AS text[]), CAST(:branches AS text[]))
    ) AND due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until <= clock_timestamp())
    FOR NO KEY UPDATE SKIP LOCKED
) AS free
WHERE fault_alerts.token = free.token AND fault_alerts.branch_id = free.branch_id
RETURNING fault_alerts.token, fault_alerts.branch_id, failures
""")
NEXT_DUE = sa.text("""
SELECT extract(epoch FROM min(greatest(due_at, leased_until)) - clock_timestamp()) FROM fault_alerts
WHERE due_at IS NOT NULL AND token <> ALL(CAST(:busy AS text[]))
""")
STILL_DUE = sa.text("""
UPDATE fault_alerts SET due_at = CASE WHEN EXISTS (
    SELECT FROM deliveries JOIN notifications ON notifications.id = deliveries.notification_id
    WHERE deliveries.token = :token AND deliveries.kind = 'equipment_fault' AND deliveries.state = 'pending'
        AND notifications.branch_id = :branch
) THEN greatest(clock_timestamp(), quiet_until) END
WHERE token = :token AND branch_id = :branch
""")
WAITING = sa.text("""
SELECT count(*) AS number,
    coalesce(extract(epoch FROM clock_timestamp() - min(notifications.created_at)), 0) AS oldest_s
FROM deliveries JOIN notifications ON notifications.id = deliveries.notification_id
WHERE deliveries.kind = 'equipment_fault' AND deliveries.state = 'pending'
""")


@dataclass(frozen=True)
class Backlog:
    """How many faults wait for a phone, and for how many seconds the oldest has."""

    faults: int
    oldest_s: float


async def due(
    session: AsyncSession, *, busy: Collection[str], per_branch: int, held_back: Mapping[str, Capacity]
) -> list[DueAlert]:
    """Find due alerts, some of each branch and push service, the longest due first.

    Args:
        busy: phones that are left out.
        held_back: how much may be sent through push services that are away.
    """
    asked = {
        "busy": list(busy),
        "per_branch": per_branch,
        "at_most": CANDIDATES,
        "no_first_tries": [service for service, left in held_back.items() if not left.first_tries],
        "no_retries": [service for service, left in held_back.items() if not left.retries],
    }
    return [DueAlert(*row) for row in await session.execute(DUE, asked)]


async def lease(session: AsyncSession, chosen: Sequence[DueAlert], lease: timedelta) -> list[DueAlert]:
    """Lease alerts that no other process has leased; nobody leases them again before the lease expires."""
    asked = {
        "tokens": [each.token for each in chosen],
        "branches": [each.branch_id for each in chosen],
        "lease": lease,
    }
    return [DueAlert(*row) for row in await session.execute(LEASE, asked)]


async def next_due_in(session: AsyncSession, *, busy: Collection[str]) -> float | None:
    """Return the seconds until the next alert is due, ``None`` while none waits."""
    seconds = (await session.execute(NEXT_DUE, {"busy": list(busy)})).scalar_one()
    return None if seconds is None else float(seconds)


async def end_lease(session: AsyncSession, alert: DueAlert) -> None:
    """End the lease of an alert that was decided on, and lock its row, which comes before its deliveries'."""
    await session.execute(sa.update(fault_alerts).where(*is_alert(alert)).values(**NO_LEASE))


async def make_due_again(session: AsyncSession, alert: DueAlert) -> None:
    """Let the alert be due again if faults still wait for it; the caller holds its row."""
    await session.execute(STILL_DUE, {"token": alert.token, "branch": alert.branch_id})


async def back_off(session: AsyncSession, alert: DueAlert, *, pause: timedelta, error: str | None) -> None:
    """Back off this phone after a failed try."""
    await session.execute(
        sa.update(fault_alerts)
        .where(*is_alert(alert))
        .values(
            due_at=sa.func.clock_timestamp() + pause,
            leased_until=None,
            failures=fault_alerts.c.failures + 1,
            last_error=error,
        )
    )


async def retry_all(session: AsyncSession, service: str) -> None:
    """Let every phone of a push service that backed off be tried now: it is back."""
    waiting = (
        sa.select(fault_alerts.c.token, fault_alerts.c.branch_id)
        .where(
            sa.text(f"{SERVICE} = :service").bindparams(service=service),
            fault_alerts.c.failures > 0,
            fault_alerts.c.due_at > sa.func.clock_timestamp(),
            sa.or_(
                fault_alerts.c.leased_until.is_(None),
                fault_alerts.c.leased_until <= sa.func.clock_timestamp(),
            ),
        )
        .with_for_update(skip_locked=True, key_share=True)
        .cte("waiting")
    )
    await session.execute(
        sa.update(fault_alerts)
        .where(
            fault_alerts.c.token == waiting.c.token,
            fault_alerts.c.branch_id == waiting.c.branch_id,
        )
        .values(due_at=sa.func.clock_timestamp(), failures=0)
    )


async def backlog(session: AsyncSession) -> Backlog:
    """Count the faults that wait for a phone."""
    row = (await session.execute(WAITING)).one()
    return Backlog(int(row.number), float(row.oldest_s))


async def now(session: AsyncSession) -> datetime:
    """Return the time of the database's clock, by which alerts are due."""
    moment: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return moment


def is_alert(alert: DueAlert) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of the alert's row."""
    return fault_alerts.c.token == alert.token, fault_alerts.c.branch_id == alert.branch_id
