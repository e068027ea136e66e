"""Who logged in to the broker with which token: a device's messages carry none.

The broker writes on each message which client sent it, so it is held against that client's own login. One
that comes back from a retry or a redrive has lost the word; then any login of the device counts.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.auth import Principal
from laundry_service.database import Database
from monitoring.tables import device_login, equipment, mqtt_login

LOCK_NOT_AVAILABLE = "55P03"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Login:
    """A device's login to the broker.

    Attributes:
        client_id: the MQTT client id, empty if the broker chooses one.
        token_id, issued_at: the token's ``jti`` and ``iat``, if it has them.
        signed_by: fingerprint of the key that signed it.
    """

    equipment_id: str
    client_id: str
    branches: frozenset[str]
    expires_at: datetime
    token_id: str | None = None
    issued_at: datetime | None = None
    signed_by: str | None = None

    @property
    def principal(self) -> Principal:
        """Whose login it is, as the deny list and the keys are asked. Its end is held against the moment when
        a message came, so it is left out here.
        """
        return Principal(
            self.equipment_id,
            "device",
            self.branches,
            token_id=self.token_id,
            issued_at=None if self.issued_at is None else self.issued_at.timestamp(),
            key=self.signed_by,
        )


REMEMBERED = 16
"""Logins that are remembered of one device, the newest."""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)


async def store_login(session: AsyncSession, login: Login) -> None:
    """Remember a login. A row that somebody holds is not waited for longer than a second.

    Raises:
        DBAPIError: somebody holds it (``lock_not_available``).
    """
    await session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
    new = insert(device_login).values(
        equipment_id=login.equipment_id,
        client_id=login.client_id,
        branches=sorted(login.branches),
        expires_at=login.expires_at,
        token_id=login.token_id,
        issued_at=login.issued_at,
        signed_by=login.signed_by,
    )
    await session.execute(
        new.on_conflict_do_update(
            index_elements=[device_login.c.equipment_id, device_login.c.client_id],
            set_={
                "branches": new.excluded.branches,
                "expires_at": new.excluded.expires_at,
                "token_id": new.excluded.token_id,
                "issued_at": new.excluded.issued_at,
                "signed_by": new.excluded.signed_by,
                "logged_in_at": sa.func.now(),
            },
        )
    )
    newest = (
        sa.select(device_login.c.client_id)
        .where(device_login.c.equipment_id == login.equipment_id)
        .order_by(device_login.c.logged_in_at.desc())
        .limit(REMEMBERED)
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


async def read_logins(
    session: AsyncSession, equipment_id: str, client_id: str | None
) -> Collection[Login] | None:
    """Return what a message of this device may be held against, expired or not.

    Args:
        client_id: the client that sent it, if the broker said.

    Returns:
        none if the device never logged in with a token: then a user of the broker's own sent the message (a
        gateway), whom the broker's permissions already let.
    """
    rows = (
        await session.execute(sa.select(device_login).where(device_login.c.equipment_id == equipment_id))
    ).all()
    logins = [
        Login(
            row.equipment_id,
            row.client_id,
            frozenset(row.branches),
            row.expires_at,
            row.token_id,
            row.issued_at,
            row.signed_by,
        )
        for row in rows
    ]
    own = [login for login in logins if login.client_id == client_id]
    # A client id that the broker chose is none that the login could tell.
    own = own or [login for login in logins if not client_id or not login.client_id]
    if logins:
        return own
    last = await session.execute(
        sa.select(mqtt_login.c.branches).where(mqtt_login.c.equipment_id == equipment_id)
    )
    branches = last.scalar_one_or_none()
    # A login that the release before took.
    return None if branches is None else [Login(equipment_id, "", frozenset(branches), NEVER)]


class StoredLogins:
    """Logins in the database, as the gate of the broker needs them."""

    def __init__(self, database: Database, allows: Callable[[Login], bool]) -> None:
        """Take the database and who says whether a login's token is denied by now."""
        self._database = database
        self._allows = allows

    async def read(self, equipment_id: str, client_id: str | None) -> Collection[Login] | None:
        """Return what a message of a device is held against, as ``read_logins``."""
        async with self._database.session() as session:
            return await read_logins(session, equipment_id, client_id)

    async def note(self, login: Login) -> bool:
        """Remember a login; false while somebody holds its row."""
        try:
            async with self._database.transaction() as session:
                await store_login(session, login)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return False
        return True

    async def alive(self, equipment_id: str, client_id: str | None) -> bool:
        """Whether a device that is connected may still speak; each message is judged again when read."""
        try:
            logins = await self.read(equipment_id, client_id)
        except (DBAPIError, OSError, TimeoutError) as error:
            # Without the database nothing can be known; to end every connection would help nobody.
            log.warning("a login cannot be looked up", error=type(error).__name__)
            return True
        now = datetime.now(UTC)
        return logins is None or any(now <= login.expires_at and self._allows(login) for login in logins)

    async def is_name(self, equipment_id: str) -> bool:
        """Whether any branch has a machine of this name."""
        known = sa.select(equipment.c.id).where(equipment.c.id == equipment_id).limit(1)
        async with self._database.session() as session:
            return (await session.execute(known)).first() is not None

    async def is_namesakes(self, equipment_id: str, branch_id: str) -> bool:
        """Whether that branch has a machine of this name."""
        known = sa.select(equipment.c.id).where(
            equipment.c.branch_id == branch_id, equipment.c.id == equipment_id
        )
        async with self._database.session() as session:
            return (await session.execute(known)).first() is not None
