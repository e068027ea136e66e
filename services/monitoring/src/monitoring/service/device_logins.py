"""Remembers who logged in to the broker with which token, and says who may still speak."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from laundry_events.group_commit import GroupCommit
from laundry_service.auth.principal import Principal
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_contention
from monitoring.device_limits import DeviceKey
from monitoring.device_login import DeviceLogin, logins_of_client
from monitoring.repository import equipment
from monitoring.repository.logins import read_logins, store_login

MAX_KEYS = 20_000
LOOKED_UP_TOGETHER = 100
Client = tuple[str, str | None]
"""The device, and the client that the broker says."""

log = structlog.get_logger(__name__)


def principal_of(login: DeviceLogin) -> Principal:
    """Return whose login it is, as the deny list and the keys are asked.

    The end of its token is held against the moment when a message came, so it is left out here.
    """
    return Principal(
        login.equipment_id,
        "device",
        login.branches,
        token_id=login.token_id,
        issued_at=None if login.issued_at is None else login.issued_at.timestamp(),
        key=login.signed_by,
    )


class DeviceLogins:
    """Logins in the database."""

    def __init__(self, database: Database, is_allowed: Callable[[Principal], bool]) -> None:
        """Ask ``is_allowed`` whether a token has been denied since its login."""
        self._database = database
        self._is_allowed = is_allowed
        self._keys: OrderedDict[Client, DeviceKey] = OrderedDict()
        self._lookups = GroupCommit(self._look_up, at_most=LOOKED_UP_TOGETHER)

    def is_allowed(self, login: DeviceLogin) -> bool:
        """Whether a login's token is not denied by now."""
        return self._is_allowed(principal_of(login))

    async def of_devices(self, equipment_ids: Collection[str]) -> Mapping[str, Collection[DeviceLogin]]:
        """Return every remembered login of each device."""
        async with self._database.session() as session:
            return await read_logins(session, equipment_ids)

    async def of_client(self, equipment_id: str, client_id: str | None) -> Collection[DeviceLogin] | None:
        """Return what a message of a device is held against, as ``logins_of_client``."""
        logins = await self.of_devices({equipment_id})
        return logins_of_client(logins[equipment_id], client_id)

    async def key_of(self, equipment_id: str, client_id: str | None) -> DeviceKey:
        """Return as whom a client is counted. It is looked up once: no flood of messages is one of queries.

        While it cannot be looked up, all of that name are counted together.
        """
        client = (equipment_id, client_id)
        if client in self._keys:
            self._keys.move_to_end(client)
        else:
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                await self._lookups.add(client)
        return self._keys.get(client, DeviceKey(equipment_id, None))

    async def _look_up(self, clients: Sequence[Client]) -> Sequence[None]:
        logins = await self.of_devices({equipment_id for equipment_id, _ in clients})
        for equipment_id, client_id in clients:
            own = logins_of_client(logins[equipment_id], client_id)
            branches = None if own is None else frozenset[str]().union(*(login.branches for login in own))
            self._keys[equipment_id, client_id] = DeviceKey(equipment_id, branches)
        while len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return [None] * len(clients)

    async def record(self, login: DeviceLogin) -> bool:
        """Store a login; False while its row is locked."""
        try:
            async with self._database.transaction() as session:
                await store_login(session, login)
        except DBAPIError as error:
            if not is_contention(error):
                raise
            return False
        # It may be for other branches than the one before.
        self._keys.pop((login.equipment_id, login.client_id), None)
        return True

    async def may_publish(self, equipment_id: str, client_id: str | None) -> bool:
        """Whether a connected device may still publish; each message is judged again when it is read."""
        try:
            logins = await self.of_client(equipment_id, client_id)
        except (DBAPIError, OSError, TimeoutError) as error:
            # Without the database nothing is known; ending every connection would help nobody.
            log.warning("a login cannot be looked up", error=type(error).__name__)
            return True
        now = datetime.now(UTC)
        return logins is None or any(now <= login.expires_at and self.is_allowed(login) for login in logins)

    async def equipment_exists(self, equipment_id: str, branch_id: str | None = None) -> bool:
        """Whether a branch, or any, has a machine of this name."""
        async with self._database.session() as session:
            return await equipment.exists(session, equipment_id, branch_id)
