"""Queries about devices and the owners who were seen. Each works in its caller's transaction."""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.model import Device
from notification.tables import deliveries, devices, owner_branches


async def register_device(session: AsyncSession, device: Device, *, at_most: int) -> bool:
    """Store a device; a token that another user had moves to this one, without what was on its way to him.

    Returns:
        whether the token is new to this user. Beyond ``at_most`` the least recently registered one goes.
    """
    held = await session.execute(
        sa.select(devices.c.user_id, devices.c.role).where(devices.c.token == device.token).with_for_update()
    )
    before = held.first()
    same = before is not None and tuple(before) == (device.user_id, device.role)
    if before is not None and not same:
        await session.execute(sa.delete(deliveries).where(deliveries.c.token == device.token))
    values = {
        "user_id": device.user_id,
        "role": device.role,
        "platform": device.platform,
        "language": device.language,
        "branches": list(device.branches),
        "registered_at": sa.func.clock_timestamp(),
    }
    await session.execute(
        insert(devices)
        .values(token=device.token, **values)
        .on_conflict_do_update(index_elements=[devices.c.token], set_=values)
    )
    surplus = (
        sa.select(devices.c.token)
        .where(devices.c.user_id == device.user_id, devices.c.role == device.role)
        .order_by(devices.c.registered_at.desc(), devices.c.token)
        .offset(at_most)
    )
    await session.execute(sa.delete(devices).where(devices.c.token.in_(surplus)))
    return not same


async def delete_device(session: AsyncSession, *, token: str, user_id: str) -> bool:
    """Delete a device if it is this user's."""
    gone = await session.execute(
        sa.delete(devices)
        .where(devices.c.token == token, devices.c.user_id == user_id)
        .returning(devices.c.token)
    )
    return gone.first() is not None


async def delete_dead_device(session: AsyncSession, *, token: str, sent_after: datetime) -> None:
    """Delete a device whose token FCM no longer knows, unless it registered again meanwhile."""
    await session.execute(
        sa.delete(devices).where(devices.c.token == token, devices.c.registered_at < sent_after)
    )


async def see_owner(session: AsyncSession, user_id: str, branches: Collection[str]) -> None:
    """Remember that an owner came with these branches; at most one write an hour for each."""
    if not branches:
        return
    seen = insert(owner_branches).values(
        [{"branch_id": branch, "user_id": user_id} for branch in sorted(branches)]
    )
    await session.execute(
        seen.on_conflict_do_update(
            index_elements=[owner_branches.c.branch_id, owner_branches.c.user_id],
            set_={"seen_at": sa.func.now()},
            where=owner_branches.c.seen_at < sa.func.now() - timedelta(hours=1),
        )
    )


async def owners_of(session: AsyncSession, branch_id: str, *, seen_within: timedelta) -> list[str]:
    """Find the owners of a branch: those with a device registered for it, and those seen with it lately."""
    registered = sa.select(devices.c.user_id).where(
        devices.c.role == "owner", devices.c.branches.contains([branch_id])
    )
    seen = sa.select(owner_branches.c.user_id).where(
        owner_branches.c.branch_id == branch_id, owner_branches.c.seen_at > sa.func.now() - seen_within
    )
    found = await session.execute(registered.union(seen).order_by("user_id"))
    return list(found.scalars())


async def customers_with_device(session: AsyncSession, users: Collection[str]) -> set[str]:
    """Find which of these customers have a device."""
    found = await session.execute(
        sa.select(devices.c.user_id).where(devices.c.role == "customer", devices.c.user_id.in_(users))
    )
    return set(found.scalars())
