"""Queries of deliveries to devices. Each works in its caller's transaction."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.model import Delivery, DeliveryState
from notification.repository.devices import forget_devices, keys_of
from notification.repository.history import derive_states, set_states
from notification.tables import deliveries, devices, notifications


async def add_match_deliveries(session: AsyncSession, notification_ids: Collection[str]) -> None:
    """Queue the pushes of new notifications to their customers' devices."""
    if not notification_ids:
        return
    source = (
        sa.select(notifications.c.id, devices.c.token, sa.literal("branch_match"))
        .join(devices, devices.c.user_id == notifications.c.user_id)
        .where(notifications.c.id.in_(notification_ids), devices.c.role == "customer")
        .order_by(devices.c.token)
    )
    added = await session.execute(
        insert(deliveries)
        .from_select(["notification_id", "token", "kind"], source)
        .on_conflict_do_nothing()
        .returning(deliveries.c.notification_id)
    )
    await set_states(session, set(added.scalars()), "pending")


def _delivery_columns() -> sa.Select[Any]:
    return sa.select(
        deliveries.c.notification_id,
        deliveries.c.token,
        devices.c.language,
        notifications.c.user_id,
        notifications.c.kind,
        notifications.c.event_id,
        notifications.c.branch_id,
        notifications.c.texts,
        notifications.c.data,
        deliveries.c.attempts,
        devices.c.p256dh,
        devices.c.auth,
        notifications.c.traceparent,
    ).select_from(
        deliveries.join(notifications, notifications.c.id == deliveries.c.notification_id).join(
            devices, devices.c.token == deliveries.c.token
        )
    )


async def lease_match_deliveries(
    session: AsyncSession, *, first_tries: int, retries: int, lease: timedelta
) -> list[Delivery]:
    """Lease recommendations that are due; no replica leases them again before the lease expires.

    Args:
        first_tries, retries: at most so many of each, so that phones which do not answer leave room.
    """
    first = _due("first", deliveries.c.attempts == sa.literal(0, literal_execute=True), first_tries)
    again = _due("again", deliveries.c.attempts > sa.literal(0, literal_execute=True), retries)
    due = sa.union_all(sa.select(first), sa.select(again)).subquery("due")
    leased = (
        sa.update(deliveries)
        .where(
            deliveries.c.notification_id == due.c.notification_id,
            deliveries.c.token == due.c.token,
        )
        .values(next_attempt_at=sa.func.now() + lease)
        .returning(deliveries.c.notification_id, deliveries.c.token)
    )
    keys = [tuple(row) for row in (await session.execute(leased)).all()]
    if not keys:
        return []
    found = await session.execute(
        _delivery_columns()
        .where(sa.tuple_(deliveries.c.notification_id, deliveries.c.token).in_(keys))
        .order_by(deliveries.c.notification_id)
    )
    return [_delivery(**row) for row in found.mappings()]


def _delivery(p256dh: str | None, auth: str | None, **columns: Any) -> Delivery:
    return Delivery(**columns, keys=keys_of(p256dh, auth))


def _due(name: str, which: sa.ColumnElement[bool], limit: int) -> sa.CTE:
    return (
        sa.select(deliveries.c.notification_id, deliveries.c.token)
        .where(
            # Written into the statement: indexes of a part of the table are used only where that is known.
            deliveries.c.kind == sa.literal("branch_match", literal_execute=True),
            deliveries.c.state == sa.literal("pending", literal_execute=True),
            deliveries.c.next_attempt_at <= sa.func.now(),
            which,
        )
        .order_by(deliveries.c.next_attempt_at)
        .limit(max(0, limit))
        .with_for_update(skip_locked=True)
        .cte(name)
    )


def outcome_columns(state: DeliveryState, error: str | None) -> dict[str, Any]:
    """Return the columns of a delivery after one more try."""
    columns: dict[str, Any] = {
        "state": state,
        "attempts": deliveries.c.attempts + 1,
        "last_error": error,
    }
    if state == "sent":
        columns["sent_at"] = sa.func.clock_timestamp()
    return columns


async def record_outcome(
    session: AsyncSession,
    delivery: Delivery,
    state: DeliveryState,
    *,
    error: str | None = None,
    retry_in: timedelta | None = None,
) -> None:
    """Record what became of a delivery, and derive the state of its notification."""
    values = outcome_columns(state, error)
    if retry_in is not None:
        values["next_attempt_at"] = sa.func.clock_timestamp() + retry_in
    await session.execute(
        sa.update(deliveries)
        .where(deliveries.c.notification_id == delivery.notification_id, deliveries.c.token == delivery.token)
        .values(**values)
    )
    await derive_states(session, [delivery.notification_id])


async def remove_device(
    session: AsyncSession, delivery: Delivery, *, error: str | None, sent_after: datetime
) -> None:
    """Delete the device of a delivery whose token is dead; the delivery goes with it."""
    await forget_devices(session, [delivery.token], registered_before=sent_after)
    await record_outcome(session, delivery, "refused", error=error)
