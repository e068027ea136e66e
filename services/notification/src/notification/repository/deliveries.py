"""Queries about pushes on their way to devices. Each works in its caller's transaction."""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.model import Delivery, DeliveryState, Kind
from notification.repository.devices import delete_dead_device
from notification.repository.history import set_state, settle
from notification.tables import deliveries, devices, match_quota, notifications

UNSENT = ("pending", "failed")


async def add_fault_deliveries(session: AsyncSession, branch_id: str, told: Mapping[str, str]) -> int:
    """Put the push of each new notification on its way to the devices that its owner has for the branch."""
    wanted = sa.and_(devices.c.role == "owner", devices.c.branches.contains([branch_id]))
    return await _add_deliveries(session, "equipment_fault", wanted, told)


async def add_match_deliveries(session: AsyncSession, told: Mapping[str, str]) -> int:
    """Put the push of each new notification on its way to the customer's devices."""
    return await _add_deliveries(session, "branch_match", devices.c.role == "customer", told)


async def _add_deliveries(
    session: AsyncSession, kind: Kind, wanted: sa.ColumnElement[bool], told: Mapping[str, str]
) -> int:
    if not told:
        return 0
    source = (
        sa.select(notifications.c.id, devices.c.token, sa.literal(kind))
        .join(devices, devices.c.user_id == notifications.c.user_id)
        .where(notifications.c.id.in_(told.values()), wanted)
        .order_by(devices.c.token)
    )
    added = await session.execute(
        insert(deliveries)
        .from_select(["notification_id", "token", "kind"], source)
        .on_conflict_do_nothing()
        .returning(deliveries.c.notification_id)
    )
    reached = set(added.scalars())
    await set_state(session, reached, "pending")
    return len(reached)


async def take_quota(session: AsyncSession, users: Collection[str], *, day: date, limit: int) -> set[str]:
    """Count one push of this day for each customer who has any left; returns who had.

    One statement with rows in a fixed order: messages handled at once neither exceed the limit nor deadlock.
    """
    if not users or limit <= 0:
        return set()
    counted = (
        insert(match_quota)
        .values([{"day": day, "user_id": user, "pushes": 1} for user in sorted(users)])
        .on_conflict_do_update(
            index_elements=[match_quota.c.day, match_quota.c.user_id],
            set_={"pushes": match_quota.c.pushes + 1},
            where=match_quota.c.pushes < limit,
        )
        .returning(match_quota.c.user_id)
    )
    return set((await session.execute(counted)).scalars())


async def lock_story(session: AsyncSession, about: str) -> None:
    """Wait until no other replica pushes this story; held until the transaction ends or its process dies."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(about, 0))))


def _delivery_columns() -> sa.Select[Any]:
    return sa.select(
        deliveries.c.notification_id,
        deliveries.c.token,
        devices.c.language,
        notifications.c.kind,
        notifications.c.event_id,
        notifications.c.branch_id,
        notifications.c.texts,
        notifications.c.data,
        deliveries.c.attempts,
    ).select_from(
        deliveries.join(notifications, notifications.c.id == deliveries.c.notification_id).join(
            devices, devices.c.token == deliveries.c.token
        )
    )


async def unsent_deliveries(session: AsyncSession, about: str) -> list[Delivery]:
    """Find the devices that a story has not reached yet."""
    found = await session.execute(
        _delivery_columns().where(notifications.c.about == about, deliveries.c.state.in_(UNSENT))
    )
    return [Delivery(**row) for row in found.mappings()]


async def lease_match_deliveries(session: AsyncSession, *, limit: int, lease: timedelta) -> list[Delivery]:
    """Take recommendations that are due; no replica takes them again before the lease has run out."""
    due = (
        sa.select(deliveries.c.notification_id, deliveries.c.token)
        .where(
            deliveries.c.kind == "branch_match",
            deliveries.c.state == "pending",
            deliveries.c.next_attempt_at <= sa.func.now(),
        )
        .order_by(deliveries.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
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
    return [Delivery(**row) for row in found.mappings()]


async def mark(
    session: AsyncSession,
    delivery: Delivery,
    state: DeliveryState,
    *,
    error: str | None = None,
    again_in: timedelta | None = None,
) -> None:
    """Note what became of a delivery, then what that makes of its notification."""
    values: dict[str, Any] = {
        "state": state,
        "attempts": deliveries.c.attempts + 1,
        "last_error": error,
    }
    if state == "sent":
        values["sent_at"] = sa.func.clock_timestamp()
    if again_in is not None:
        values["next_attempt_at"] = sa.func.clock_timestamp() + again_in
    await session.execute(
        sa.update(deliveries)
        .where(deliveries.c.notification_id == delivery.notification_id, deliveries.c.token == delivery.token)
        .values(**values)
    )
    await settle(session, delivery.notification_id)


async def mark_gone(
    session: AsyncSession, delivery: Delivery, *, error: str | None, sent_after: datetime
) -> None:
    """Delete the device of a delivery whose token is dead; the delivery goes with it."""
    await mark(session, delivery, "refused", error=error)
    await delete_dead_device(session, token=delivery.token, sent_after=sent_after)
    await settle(session, delivery.notification_id)
