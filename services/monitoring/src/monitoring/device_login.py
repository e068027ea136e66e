"""Logins of devices to the broker, and for whom a message may speak. Pure rules.

A device's messages carry no token. The broker notes on each which client sent it, so it is held against that
client's login. A message that comes back from a retry or a redrive has lost the note; then any login of the
device counts.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from laundry_events import PermanentError

NEVER = datetime(9999, 12, 31, tzinfo=UTC)

# RabbitMQ makes up an id for a client that sends none: 128 random bits in base64url.
_CHOSEN = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True)
class DeviceLogin:
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


def chosen_by_broker(client_id: str) -> bool:
    """Whether a client id is none, or may be one that the broker chose for a client that sent none."""
    return not client_id or _CHOSEN.fullmatch(client_id) is not None


def logins_of_client(
    logins: Collection[DeviceLogin], client_id: str | None
) -> Collection[DeviceLogin] | None:
    """Return the logins of a device that a message is held against, expired or not.

    Args:
        client_id: the client that sent it, if the broker said.

    Returns:
        ``None`` if the device never logged in with a token: then one of the broker's own users sent the
        message (a gateway), and the broker's permissions allowed it.
    """
    if not logins:
        return None
    own = [login for login in logins if login.client_id == client_id]
    # The login could not tell a client id that the broker chose.
    return own or [login for login in logins if not client_id or not login.client_id]


def branches_allowed(
    logins: Collection[DeviceLogin] | None,
    is_allowed: Callable[[DeviceLogin], bool],
    *,
    arrived_at: datetime,
) -> frozenset[str] | None:
    """Return the branches that a message's sender may speak for; ``None`` means all.

    Raises:
        PermanentError: its token had expired when the message came, or is denied.
    """
    if logins is None:
        return None
    valid = [login for login in logins if arrived_at <= login.expires_at]
    if not valid:
        raise PermanentError(
            "the token that the device logged in with has expired; log in with a new one",
            reason="token-expired",
        )
    allowed = [login for login in valid if is_allowed(login)]
    if not allowed:
        raise PermanentError("the device's token is denied", reason="token-denied")
    return frozenset().union(*(login.branches for login in allowed))
