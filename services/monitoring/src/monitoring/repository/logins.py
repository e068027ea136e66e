"""Queries about logins of devices to the broker. Each works in its caller's transaction."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.device_login import NEVER, DeviceLogin
from monitoring.tables import device_login, mqtt_login

MAX_LOGINS = 16
"""Logins that are remembered of one device, the newest."""


async def store_login(session: AsyncSession, login: DeviceLogin) -> None:
    """Store a login. A locked row is waited for at most a second.

    Raises:
        DBAPIError: it is still locked then (``lock_not_available``).
    """
    await session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
    values = {
        "branches": sorted(login.branches),
        "expires_at": login.expires_at,
        "token_id": login.token_id,
        "issued_at": login.issued_at,
        "signed_by": login.signed_by,
    }
    await session.execute(
        insert(device_login)
        .values(equipment_id=login.equipment_id, client_id=login.client_id, **values)
        .on_conflict_do_update(
            index_elements=[device_login.c.equipment_id, device_login.c.client_id],
            set_=values | {"logged_in_at": sa.func.now()},
        )
    )
    newest = (
        sa.select(device_login.c.client_id)
        .where(device_login.c.equipment_id == login.equipment_id)
        .order_by(device_login.c.logged_in_at.desc())
        .limit(MAX_LOGINS)
    )
    await session.execute(
        sa.delete(device_login).where(
            device_login.c.equipment_id == login.equipment_id, device_login.c.client_id.not_in(newest)
        )
    )
    before = insert(mqtt_login).values(equipment_id=login.equipment_id, branches=sorted(login.branches))
    await session.execute(
        before.on_conflict_do_update(
            index_elements=[mqtt_login.c.equipment_id],
            set_={"branches": before.excluded.branches, "logged_in_at": sa.func.now()},
            where=mqtt_login.c.branches != before.excluded.branches,
        )
    )


async def read_logins(session: AsyncSession, equipment_ids: Collection[str]) -> dict[str, list[DeviceLogin]]:
    """Read every remembered login of devices, expired or not; none of one that never had a token's."""
    found: dict[str, list[DeviceLogin]] = {each: [] for each in equipment_ids}
    for row in await session.execute(
        sa.select(device_login).where(device_login.c.equipment_id.in_(list(found)))
    ):
        found[row.equipment_id].append(
            DeviceLogin(
                row.equipment_id,
                row.client_id,
                frozenset(row.branches),
                row.expires_at,
                row.token_id,
                row.issued_at,
                row.signed_by,
            )
        )
    if unknown := [each for each, logins in found.items() if not logins]:
        # Logins stored by the previous release.
        for row in await session.execute(sa.select(mqtt_login).where(mqtt_login.c.equipment_id.in_(unknown))):
            found[row.equipment_id].append(DeviceLogin(row.equipment_id, "", frozenset(row.branches), NEVER))
    return found
