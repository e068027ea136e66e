"""Queries of what a fault alert tells: the faults of its group, and what became of them.

Each works in its caller's transaction. Storing a fault and ending a push both lock the alert's row first, so
that neither misses what the other adds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from notification.alert_grouping import MINUTE, AlertGroup, GroupedFault
from notification.model import BrowserKeys, DeliveryState
from notification.push_scheduling import DueAlert
from notification.repository.alert_queue import NO_LEASE, is_alert
from notification.repository.deliveries import outcome_columns
from notification.repository.devices import keys_of
from notification.repository.history import derive_states
from notification.tables import deliveries, fault_alerts, notifications
from notification.texts import Language, Texts

LOCKED = sa.text("""
SELECT fault_alerts.*, devices.user_id, devices.language, devices.p256dh, devices.auth,
    clock_timestamp() AS now,
    coalesce((
        SELECT array_agg(at) FROM fault_alerts AS others, unnest(others.rang) AS at
        WHERE others.token = fault_alerts.token
    ), '{}') AS rang_for_any
FROM fault_alerts LEFT JOIN devices ON devices.token = fault_alerts.token
WHERE fault_alerts.token = :token AND fault_alerts.branch_id = :branch
FOR NO KEY UPDATE OF fault_alerts
""")
FAULTS = """
SELECT notifications.id, notifications.event_id, notifications.data, notifications.traceparent,
    deliveries.state = 'pending' AS waiting
FROM deliveries JOIN notifications ON notifications.id = deliveries.notification_id
WHERE deliveries.token = :token AND deliveries.kind = 'equipment_fault' AND notifications.branch_id = :branch
"""
OF_GROUP = sa.text(f"""
{FAULTS} AND deliveries.state = 'pending'
UNION ALL
{FAULTS} AND deliveries.alert = :tag AND deliveries.state <> 'pending'
ORDER BY id
""")


@dataclass(frozen=True)
class LockedAlert:
    """An alert whose row this transaction holds.

    Attributes:
        group: what the phone shows now, if it was ever told of this branch.
        sounds, sounds_for_any: when it made a sound for this branch lately, and for any.
        owner, language: of the phone; ``None`` if it is gone.
        keys: of a browser; ``None`` for a phone.
    """

    group: AlertGroup | None
    sounds: Sequence[datetime]
    sounds_for_any: Sequence[datetime]
    owner: str | None
    language: Language | None
    failures: int
    now: datetime
    keys: BrowserKeys | None


@dataclass(frozen=True)
class Content:
    """What a notification says, and the data for an app."""

    texts: Texts
    data: dict[str, str]


async def lock_alert(session: AsyncSession, alert: DueAlert) -> LockedAlert | None:
    """Lock an alert and read it; ``None`` if it is gone."""
    found = await session.execute(LOCKED, {"token": alert.token, "branch": alert.branch_id})
    row = found.mappings().first()
    if row is None:
        return None
    shown = row["tag"] is not None
    return LockedAlert(
        group=AlertGroup(row["tag"], row["began_at"], row["pushed_at"], row["pushes"]) if shown else None,
        sounds=row["rang"],
        sounds_for_any=row["rang_for_any"],
        owner=row["user_id"],
        language=row["language"],
        failures=row["failures"],
        now=row["now"],
        keys=keys_of(row["p256dh"], row["auth"]),
    )


async def faults_of(session: AsyncSession, alert: DueAlert, group: AlertGroup | None) -> list[GroupedFault]:
    """Read the faults that wait for this phone and those of its group, oldest first."""
    asked = {"token": alert.token, "branch": alert.branch_id, "tag": group.tag if group else None}
    return [
        GroupedFault(
            notification_id=str(row.id),
            event_id=row.event_id,
            equipment_id=row.data.get("equipment_id", ""),
            equipment_kind=row.data.get("equipment_kind", ""),
            since=_time(row.data.get("received_at") or row.data["detected_at"]),
            count=int(row.data.get("count", 1)),
            waiting=row.waiting,
            escalated_at=_time(row.data["escalated_at"]) if "escalated_at" in row.data else None,
            traceparent=row.traceparent,
        )
        for row in await session.execute(OF_GROUP, asked)
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def content_of(session: AsyncSession, notification_id: str) -> Content:
    """Read what a notification says."""
    found = await session.execute(
        sa.select(notifications.c.texts, notifications.c.data).where(notifications.c.id == notification_id)
    )
    row = found.one()
    return Content(row.texts, row.data)


async def assign_group(
    session: AsyncSession, alert: DueAlert, group: AlertGroup, told: Collection[str]
) -> None:
    """Record which group a phone is about to show and which notifications it tells."""
    await session.execute(sa.update(fault_alerts).where(*is_alert(alert)).values(**_columns(group)))
    await session.execute(
        sa.update(deliveries)
        .where(*_deliveries_of(alert, told), deliveries.c.alert.is_distinct_from(group.tag))
        .values(alert=group.tag)
    )


async def record_outcome(
    session: AsyncSession,
    alert: DueAlert,
    told: Collection[str],
    state: DeliveryState,
    *,
    error: str | None = None,
) -> None:
    """Record what became of faults on a phone, and derive the states of their notifications."""
    await session.execute(
        sa.update(deliveries)
        .where(*_deliveries_of(alert, told), deliveries.c.state == "pending")
        .values(**outcome_columns(state, error))
    )
    await derive_states(session, told)


async def record_push(
    session: AsyncSession, alert: DueAlert, group: AlertGroup, *, sound_at: datetime | None, now: datetime
) -> None:
    """Record that the push service took the alert; doing it again changes nothing."""
    values: dict[str, Any] = {**NO_LEASE, **_columns(group), "quiet_until": group.next_update_at()}
    if sound_at is not None:
        values["rang"] = sa.text(
            "ARRAY(SELECT at FROM unnest(rang) AS at WHERE at > CAST(:recent AS timestamptz))"
            " || CAST(:at AS timestamptz)"
        ).bindparams(recent=now - MINUTE, at=sound_at)
    await session.execute(sa.update(fault_alerts).where(*is_alert(alert)).values(**values))


def _columns(group: AlertGroup) -> dict[str, Any]:
    return {
        "tag": group.tag,
        "began_at": group.began_at,
        "pushed_at": group.pushed_at,
        "pushes": group.pushes,
    }


def _deliveries_of(alert: DueAlert, told: Collection[str]) -> tuple[sa.ColumnElement[bool], ...]:
    ids = sa.cast(list(told), sa.ARRAY(sa.Uuid(as_uuid=False)))
    return deliveries.c.token == alert.token, deliveries.c.notification_id == sa.func.any(ids)
