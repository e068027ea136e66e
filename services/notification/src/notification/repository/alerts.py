"""Queries about the alerts of faults on phones: what is due, who pushes it, what it tells, how it ended.

Each works in its caller's transaction. Whoever stores a fault and whoever ends a push lock the alert's row
first, so that neither misses what the other adds.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.alert_grouping import MINUTE, Burst, Told, quiet_until
from notification.push_scheduling import Waiting
from notification.repository.devices import forget_devices
from notification.repository.history import settle
from notification.tables import deliveries, fault_alerts, notifications
from notification.texts import Language, Texts

Write = Callable[[AsyncSession], Awaitable[None]]

CANDIDATES = 500
DUE = sa.text("""
SELECT token, branch_id, failures FROM (
    SELECT token, branch_id, failures, due_at,
        row_number() OVER (PARTITION BY branch_id, failures > 0 ORDER BY due_at) AS turn
    FROM fault_alerts
    WHERE due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until <= clock_timestamp())
        AND token <> ALL(CAST(:busy AS text[]))
) AS due
WHERE turn <= :per_branch ORDER BY turn, due_at LIMIT :at_most
""")
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
OPEN = sa.text("""
SELECT fault_alerts.*, devices.user_id, devices.language, clock_timestamp() AS now,
    coalesce((
        SELECT array_agg(at) FROM fault_alerts AS others, unnest(others.rang) AS at
        WHERE others.token = fault_alerts.token
    ), '{}') AS rang_for_any
FROM fault_alerts LEFT JOIN devices ON devices.token = fault_alerts.token
WHERE fault_alerts.token = :token AND fault_alerts.branch_id = :branch
FOR NO KEY UPDATE OF fault_alerts
""")
TOLD = """
SELECT notifications.id, notifications.event_id, notifications.data, deliveries.state = 'pending' AS waiting
FROM deliveries JOIN notifications ON notifications.id = deliveries.notification_id
WHERE deliveries.token = :token AND deliveries.kind = 'equipment_fault' AND notifications.branch_id = :branch
"""
OF_BURST = sa.text(f"""
{TOLD} AND deliveries.state = 'pending'
UNION ALL
{TOLD} AND deliveries.alert = :tag AND deliveries.state <> 'pending'
ORDER BY id
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
class Open:
    """An alert that is being put together.

    Attributes:
        burst: what the phone shows now, if it was ever told of this branch.
        rang, rang_for_any: when it rang for this branch, and for any, of late.
        owner, language: of the phone; ``None`` if it is gone.
    """

    burst: Burst | None
    rang: Sequence[datetime]
    rang_for_any: Sequence[datetime]
    owner: str | None
    language: Language | None
    failures: int
    now: datetime


async def due(session: AsyncSession, *, busy: Collection[str], per_branch: int) -> list[Waiting]:
    """Find alerts that may be pushed now, of each branch some, the longest due first."""
    asked = {"busy": list(busy), "per_branch": per_branch, "at_most": CANDIDATES}
    return [Waiting(*row) for row in await session.execute(DUE, asked)]


async def lease(session: AsyncSession, chosen: Sequence[Waiting], lease: timedelta) -> list[Waiting]:
    """Take alerts, unless another process was first; none takes them again before the lease has run out."""
    asked = {
        "tokens": [each.token for each in chosen],
        "branches": [each.branch_id for each in chosen],
        "lease": lease,
    }
    return [Waiting(*row) for row in await session.execute(LEASE, asked)]


async def next_due_in(session: AsyncSession, *, busy: Collection[str]) -> float | None:
    """Return the seconds until the next alert is due, ``None`` while none waits."""
    seconds = (await session.execute(NEXT_DUE, {"busy": list(busy)})).scalar_one()
    return None if seconds is None else float(seconds)


async def open_alert(session: AsyncSession, alert: Waiting) -> Open | None:
    """Lock an alert and read it; ``None`` if it is gone."""
    found = await session.execute(OPEN, {"token": alert.token, "branch": alert.branch_id})
    row = found.mappings().first()
    if row is None:
        return None
    shown = row["tag"] is not None
    return Open(
        burst=Burst(row["tag"], row["began_at"], row["pushed_at"], row["pushes"]) if shown else None,
        rang=row["rang"],
        rang_for_any=row["rang_for_any"],
        owner=row["user_id"],
        language=row["language"],
        failures=row["failures"],
        now=row["now"],
    )


async def faults_of(session: AsyncSession, alert: Waiting, burst: Burst | None) -> list[Told]:
    """Read the faults that wait for this phone and those of its burst, oldest first."""
    asked = {"token": alert.token, "branch": alert.branch_id, "tag": burst.tag if burst else None}
    return [
        Told(
            notification_id=str(row.id),
            event_id=row.event_id,
            equipment_id=row.data.get("equipment_id", ""),
            equipment_kind=row.data.get("equipment_kind", ""),
            since=_time(row.data.get("received_at") or row.data["detected_at"]),
            count=int(row.data.get("count", 1)),
            waiting=row.waiting,
        )
        for row in await session.execute(OF_BURST, asked)
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def words_of(session: AsyncSession, notification_id: str) -> tuple[Texts, dict[str, str]]:
    """Read the texts and the data of a notification."""
    found = await session.execute(
        sa.select(notifications.c.texts, notifications.c.data).where(notifications.c.id == notification_id)
    )
    row = found.one()
    return row.texts, row.data


async def begin(session: AsyncSession, alert: Waiting, burst: Burst, told: Collection[str]) -> None:
    """Note which burst a phone is about to show and which notifications it tells."""
    await session.execute(
        sa.update(fault_alerts)
        .where(*_is(alert))
        .values(tag=burst.tag, began_at=burst.began_at, pushed_at=burst.pushed_at, pushes=burst.pushes)
    )
    await session.execute(
        sa.update(deliveries)
        .where(*_of(alert, told), deliveries.c.alert.is_distinct_from(burst.tag))
        .values(alert=burst.tag)
    )


async def settled(
    session: AsyncSession, alert: Waiting, told: Collection[str], state: str, *, error: str | None = None
) -> None:
    """Note what became of faults on a phone, and what that makes of their notifications."""
    values: dict[str, Any] = {
        "state": state,
        "attempts": deliveries.c.attempts + 1,
        "last_error": error,
    }
    if state == "sent":
        values["sent_at"] = sa.func.clock_timestamp()
    await session.execute(
        sa.update(deliveries).where(*_of(alert, told), deliveries.c.state == "pending").values(**values)
    )
    await settle(session, told)


async def took(
    session: AsyncSession, alert: Waiting, burst: Burst, *, rang_at: datetime | None, now: datetime
) -> None:
    """Note that the phone's service took the alert; a repeated note counts once."""
    rang = fault_alerts.c.rang
    values: dict[str, Any] = {
        **_well(),
        "tag": burst.tag,
        "began_at": burst.began_at,
        "pushed_at": burst.pushed_at,
        "pushes": burst.pushes,
        "quiet_until": quiet_until(burst),
    }
    if rang_at is not None:
        recent = sa.text(
            "ARRAY(SELECT at FROM unnest(rang) AS at WHERE at > CAST(:recent AS timestamptz))"
            " || CAST(:at AS timestamptz)"
        ).bindparams(recent=now - MINUTE, at=rang_at)
        values[rang.name] = recent
    await session.execute(sa.update(fault_alerts).where(*_is(alert)).values(**values))


async def at_rest(session: AsyncSession, alert: Waiting) -> None:
    """Note that nothing keeps the alert from being pushed again."""
    await session.execute(sa.update(fault_alerts).where(*_is(alert)).values(**_well()))


async def still_due(session: AsyncSession, alert: Waiting) -> None:
    """Let the alert be due again if faults wait for it; its row is locked by now."""
    await session.execute(STILL_DUE, {"token": alert.token, "branch": alert.branch_id})


async def put_off(session: AsyncSession, alert: Waiting, *, pause: timedelta, error: str | None) -> None:
    """Let this phone wait after a try that failed."""
    await session.execute(
        sa.update(fault_alerts)
        .where(*_is(alert))
        .values(
            due_at=sa.func.clock_timestamp() + pause,
            leased_until=None,
            failures=fault_alerts.c.failures + 1,
            last_error=error,
        )
    )


async def gone(session: AsyncSession, alert: Waiting, *, sent_after: datetime) -> None:
    """Forget a phone whose token FCM no longer knows, unless it registered again meanwhile."""
    await forget_devices(session, [alert.token], registered_before=sent_after)


async def try_all_again(session: AsyncSession) -> None:
    """Let every phone that was put off be tried now: FCM is back."""
    waiting = (
        sa.select(fault_alerts.c.token, fault_alerts.c.branch_id)
        .where(
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


async def waiting(session: AsyncSession) -> tuple[int, float]:
    """Return how many faults wait for a phone, and for how many seconds the oldest has."""
    row = (await session.execute(WAITING)).one()
    return int(row.number), float(row.oldest_s)


async def now(session: AsyncSession) -> datetime:
    """Read the database's clock, by which alerts are due."""
    moment: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return moment


def _well() -> dict[str, Any]:
    return {"leased_until": None, "failures": 0, "last_error": None}


def _is(alert: Waiting) -> tuple[sa.ColumnElement[bool], ...]:
    return fault_alerts.c.token == alert.token, fault_alerts.c.branch_id == alert.branch_id


def _of(alert: Waiting, told: Collection[str]) -> tuple[sa.ColumnElement[bool], ...]:
    ids = sa.cast(list(told), sa.ARRAY(sa.Uuid(as_uuid=False)))
    return deliveries.c.token == alert.token, deliveries.c.notification_id == sa.func.any(ids)
