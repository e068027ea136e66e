"""Queries of devices and of owners who were seen. Each works in its caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.model import BrowserKeys, Device, RegisteredDevice, Role
from notification.repository.history import derive_states
from notification.tables import deliveries, devices, fault_alerts, owner_branches

SEEN_RENEWED_AFTER = timedelta(hours=1)

LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class Holder(NamedTuple):
    """Who has a token now."""

    user_id: str
    role: str


def keys_of(p256dh: str | None, auth: str | None) -> BrowserKeys | None:
    """Return a browser's keys from their columns; ``None`` for a phone."""
    return None if p256dh is None or auth is None else BrowserKeys(p256dh, auth)


async def lock_token(session: AsyncSession, token: str) -> None:
    """Let nobody else register, move or delete a device until the transaction ends."""
    await session.execute(LOCK, {"name": f"device:{token}"})


async def lock_device(session: AsyncSession, token: str, user_id: str) -> Holder | None:
    """Lock a token's device, and all devices of its holder and of this user, until the transaction ends.

    The token comes first, then the users in a fixed order, so that registrations cannot deadlock.

    Returns:
        who has the token now.
    """
    await lock_token(session, token)
    found = await session.execute(
        sa.select(devices.c.user_id, devices.c.role).where(devices.c.token == token)
    )
    row = found.first()
    for user in sorted({user_id} | ({row.user_id} if row else set())):
        await session.execute(LOCK, {"name": f"devices-of:{user}"})
    return Holder(row.user_id, row.role) if row else None


async def put_device(session: AsyncSession, device: Device) -> bool:
    """Store a device; a token that another user had moves to this one, without the pushes that waited for it.

    Returns:
        whether the token is new to this user.
    """
    before = await lock_device(session, device.token, device.user_id)
    same = before == Holder(device.user_id, device.role)
    if before is not None and not same:
        await forget_devices(session, [device.token])
    values = {
        "user_id": device.user_id,
        "role": device.role,
        "platform": device.platform,
        "language": device.language,
        "branches": list(device.branches),
        "registered_at": sa.func.clock_timestamp(),
        "name": device.name,
        "p256dh": device.keys and device.keys.p256dh,
        "auth": device.keys and device.keys.auth,
    }
    # Who renews a registration without naming the device keeps its name.
    renewed = values if device.name else {name: value for name, value in values.items() if name != "name"}
    await session.execute(
        insert(devices)
        .values(token=device.token, **values)
        .on_conflict_do_update(index_elements=[devices.c.token], set_=renewed)
    )
    return not same


async def forget_surplus(session: AsyncSession, user_id: str, role: Role, *, at_most: int) -> None:
    """Delete the least recently registered devices of a user beyond so many."""
    surplus = await session.execute(
        sa.select(devices.c.token)
        .where(devices.c.user_id == user_id, devices.c.role == role)
        .order_by(devices.c.registered_at.desc(), devices.c.token)
        .offset(at_most)
    )
    await forget_devices(session, list(surplus.scalars()))


async def list_devices(session: AsyncSession, user_id: str, role: Role) -> list[RegisteredDevice]:
    """Read a user's devices, the longest known first."""
    reached = (
        sa.select(sa.func.max(deliveries.c.sent_at)).where(deliveries.c.token == devices.c.token)
    ).scalar_subquery()
    found = await session.execute(
        sa.select(devices, sa.func.greatest(reached, devices.c.tried_at).label("reached_at"))
        .where(devices.c.user_id == user_id, devices.c.role == role)
        .order_by(devices.c.created_at, devices.c.token)
    )
    return [
        RegisteredDevice(
            Device(
                token=row.token,
                user_id=row.user_id,
                role=row.role,
                platform=row.platform,
                language=row.language,
                branches=tuple(row.branches),
                name=row.name,
                keys=keys_of(row.p256dh, row.auth),
            ),
            created_at=row.created_at,
            registered_at=row.registered_at,
            reached_at=row.reached_at,
        )
        for row in found
    ]


async def record_tried(session: AsyncSession, token: str) -> None:
    """Record that a push that the device's user asked for was taken."""
    await session.execute(
        sa.update(devices).where(devices.c.token == token).values(tried_at=sa.func.clock_timestamp())
    )


async def delete_device(session: AsyncSession, *, token: str, user_id: str) -> bool:
    """Delete a device if it is this user's."""
    before = await lock_device(session, token, user_id)
    if before is None or before.user_id != user_id:
        return False
    await forget_devices(session, [token])
    return True


async def forget_devices(
    session: AsyncSession, tokens: Sequence[str], *, registered_before: datetime | None = None
) -> None:
    """Delete devices with their deliveries, and derive the states of the notifications concerned.

    Args:
        registered_before: leave one alone that registered later.
    """
    if not tokens:
        return
    old: list[sa.ColumnElement[bool]] = [devices.c.token.in_(tokens)]
    if registered_before is not None:
        old.append(devices.c.registered_at < registered_before)
    # The alerts' rows first, as wherever both are locked.
    await session.execute(
        sa.delete(fault_alerts).where(fault_alerts.c.token.in_(sa.select(devices.c.token).where(*old)))
    )
    held = await session.execute(sa.select(devices.c.token).where(*old).with_for_update())
    going = list(held.scalars())
    removed = await session.execute(
        sa.delete(deliveries)
        .where(deliveries.c.token.in_(going))
        .returning(deliveries.c.notification_id, deliveries.c.state)
    )
    unsent = {str(row.notification_id) for row in removed if row.state != "sent"}
    await session.execute(sa.delete(devices).where(devices.c.token.in_(going)))
    await derive_states(session, unsent)


async def record_owner_seen(session: AsyncSession, user_id: str, branches: Collection[str]) -> None:
    """Record that an owner was seen with these branches; at most one write an hour for each.

    It never waits: a locked row is being renewed, or will be the next time.
    """
    if not branches:
        return
    seen = await session.execute(
        sa.select(
            owner_branches.c.branch_id, owner_branches.c.seen_at < sa.func.now() - SEEN_RENEWED_AFTER
        ).where(owner_branches.c.user_id == user_id, owner_branches.c.branch_id.in_(branches))
    )
    stale: dict[str, bool] = {branch: old for branch, old in seen.all()}  # noqa: C416 - rows, not pairs
    unknown = sorted(set(branches) - stale.keys())
    if unknown:
        await session.execute(
            insert(owner_branches)
            .values([{"branch_id": branch, "user_id": user_id} for branch in unknown])
            .on_conflict_do_nothing()
        )
    renewed = [branch for branch, old in stale.items() if old]
    if renewed:
        free = (
            sa.select(owner_branches.c.branch_id)
            .where(owner_branches.c.user_id == user_id, owner_branches.c.branch_id.in_(renewed))
            .with_for_update(skip_locked=True, key_share=True)
            .cte("free")
        )
        await session.execute(
            sa.update(owner_branches)
            .where(owner_branches.c.user_id == user_id, owner_branches.c.branch_id == free.c.branch_id)
            .values(seen_at=sa.func.now())
        )


async def customers_with_device(session: AsyncSession, users: Collection[str]) -> set[str]:
    """Find which of these customers have a device."""
    found = await session.execute(
        sa.select(devices.c.user_id).where(devices.c.role == "customer", devices.c.user_id.in_(users))
    )
    return set(found.scalars())
