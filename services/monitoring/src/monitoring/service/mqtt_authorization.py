"""What a device that connects by MQTT may do at the broker.

A device logs in with its equipment id, its JWT and a client id of its own, and may do one thing: publish to
``telemetry/<its id>``. The broker asks about the topic at the first message, and again after the connection
was idle for some seconds or used many topics; a denial there ends the connection.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from laundry_service.auth.denials import denied
from laundry_service.auth.principal import Principal
from monitoring.device_limits import DeviceKey
from monitoring.device_login import NEVER, DeviceLogin, chosen_by_broker
from monitoring.telemetry import is_equipment_id

Form = Mapping[str, str]
"""A question of the broker, as its fields."""


class Logins(Protocol):
    """Where logins are stored."""

    async def record(self, login: DeviceLogin) -> bool:
        """Store a login; False if that is not possible just now."""

    async def may_publish(self, equipment_id: str, client_id: str | None) -> bool:
        """Whether a connected device may still publish."""

    async def key_of(self, equipment_id: str, client_id: str | None) -> DeviceKey:
        """Return as whom a client is counted."""

    async def equipment_exists(self, equipment_id: str, branch_id: str | None = None) -> bool:
        """Whether a branch, or any, has a machine of this name."""


class MqttAuthorizer:
    """Answers the broker's questions about devices."""

    def __init__(
        self,
        *,
        vhost: str,
        exchange: str,
        logins: Logins,
        wait_s: Callable[[DeviceKey], float] = lambda _: 0.0,
    ) -> None:
        """Let devices publish to ``exchange``; ``wait_s`` says how long one above its rate has to wait."""
        self._vhost = vhost
        self._exchange = exchange
        self._logins = logins
        self._wait_s = wait_s

    async def log_in(self, principal: Principal, username: str, client_id: str | None) -> bool:
        """Whether a device may log in with this token, which is valid, and with this client id."""
        code = await self._objection(principal, username, client_id)
        if code is None and client_id is not None:
            login = DeviceLogin(
                username,
                "" if client_id != username and chosen_by_broker(client_id) else client_id,
                principal.branches,
                _moment(principal.expires_at),
                principal.token_id,
                None if principal.issued_at is None else _moment(principal.issued_at),
                principal.key,
            )
            code = None if await self._logins.record(login) else "busy"
        return code is None or refuse(code, username, principal)

    async def _objection(self, principal: Principal, username: str, client_id: str | None) -> str | None:
        """Return what speaks against the login of a device whose token is valid."""
        if client_id is None:
            # Only MQTT has one: a device has no business with the broker's other protocols.
            return "mqtt-only"
        if principal.role != "device" or principal.sub != username:
            return "equipment-forbidden"
        if not await self.owns_client_id(client_id, username, principal.branches):
            return "client-id-forbidden"
        return "rate-exceeded" if self._wait_s(DeviceKey(username, principal.branches)) > 0 else None

    async def owns_client_id(self, client_id: str, username: str, branches: frozenset[str]) -> bool:
        """Whether a client id is the device's: its id, alone or before a slash, or the broker's choice.

        A client that connects ends the connection of another with the same id. Ids have no slash, so no
        device's lies within another's; of two machines of one name ``<id>/<branch>`` is the one's in that
        branch.
        """
        if client_id == username:
            return True
        if chosen_by_broker(client_id):
            # A machine's name may look like that; choosing it deliberately is refused.
            return not await self._logins.equipment_exists(client_id)
        own, slash, words = client_id.partition("/")
        branch = words.partition("/")[0]
        if own != username or not slash:
            return False
        return branch in branches or not await self._logins.equipment_exists(username, branch)

    def vhost(self, form: Form) -> bool:
        """Whether it may enter the virtual host."""
        return is_equipment_id(form.get("username", "")) and form.get("vhost") == self._vhost

    def resource(self, form: Form) -> bool:
        """Whether it may do this to an exchange or queue: write to the telemetry exchange, nothing else."""
        return self._writes_to_exchange(form, "exchange")

    async def topic(self, form: Form) -> bool:
        """Whether it may use this routing key: its own, while its token is valid and it keeps to its rate."""
        username = form.get("username", "")
        if not self.is_own_topic(form):
            return refuse("mqtt-topic-forbidden", username)
        client_id = form.get("variable_map.client_id")
        if self._wait_s(await self._logins.key_of(username, client_id)) > 0:
            return refuse("rate-exceeded", username)
        if not await self._logins.may_publish(username, client_id):
            return refuse("token-expired", username)
        return True

    def is_own_topic(self, form: Form) -> bool:
        """Whether the routing key is the device's own."""
        own_key = f"telemetry.{form.get('username')}"
        return self._writes_to_exchange(form, "topic") and form.get("routing_key") == own_key

    def _writes_to_exchange(self, form: Form, resource: str) -> bool:
        return (
            self.vhost(form)
            and form.get("resource") == resource
            and form.get("name") == self._exchange
            and form.get("permission") == "write"
        )


def refuse(code: str, username: str, principal: Principal | None = None) -> bool:
    """Note a denial, and return false."""
    denied(code, via="mqtt", principal=principal, claimed=username)
    return False


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return NEVER
