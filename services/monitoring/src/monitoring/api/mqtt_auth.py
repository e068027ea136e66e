"""Answers the broker's questions about equipment that connects by MQTT.

RabbitMQ's ``rabbitmq_auth_backend_http`` posts forms and reads ``allow`` or ``deny``. A device logs in with
its equipment id, its JWT and a client id of its own, and may do one thing: publish to ``telemetry/<its id>``.

The broker asks about the topic at the first message, and again after the connection was idle for some seconds
or used many topics; what it denies there ends the connection.
"""

import ipaddress
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from laundry_service.auth import Authenticator, Principal
from laundry_service.denials import denied
from laundry_service.problems import Problem
from monitoring.service.device_logins import NEVER, Login
from monitoring.telemetry import is_equipment_id

MAX_FORM_BYTES = 16 * 1024

log = structlog.get_logger(__name__)


# RabbitMQ tells whom it lets choose no id by the id that it chose: 128 random bits in base64url.
_CHOSEN = re.compile(r"[A-Za-z0-9_-]{22}")


def chosen_by_broker(client_id: str) -> bool:
    """Whether a client id is none, or may be one that the broker chose for a client that sent none."""
    return not client_id or _CHOSEN.fullmatch(client_id) is not None


class Logins(Protocol):
    """Where logins are remembered."""

    async def note(self, login: Login) -> bool:
        """Remember a login; false if it cannot be just now."""

    async def alive(self, equipment_id: str, client_id: str | None) -> bool:
        """Whether a device that is connected may still speak."""

    async def is_name(self, equipment_id: str) -> bool:
        """Whether any branch has a machine of this name."""

    async def is_namesakes(self, equipment_id: str, branch_id: str) -> bool:
        """Whether that branch has a machine of this name."""


class DeviceGate:
    """What a device may do at the broker."""

    def __init__(
        self, *, vhost: str, exchange: str, logins: Logins, wait: Callable[[str], float] = lambda _: 0.0
    ) -> None:
        """Take where telemetry goes, who remembers logins, and how long a device that sent too much waits."""
        self._vhost = vhost
        self._exchange = exchange
        self._logins = logins
        self._wait = wait

    async def user(self, form: dict[str, str], authenticator: Authenticator) -> bool:
        """Whether the password is a device's own valid token, and the client id its own."""
        username, client_id = form.get("username", ""), form.get("client_id")
        if not is_equipment_id(username) or not form.get("password"):
            return _refuse("login-invalid", username)
        try:
            principal = await authenticator.check(form["password"])
        except Problem as problem:
            return _refuse(problem.code, username, problem.principal)
        code = await self._objection(principal, username, client_id)
        if code is None and client_id is not None:
            own = "" if client_id != username and chosen_by_broker(client_id) else client_id
            until = _moment(principal.expires_at)
            issued = None if principal.issued_at is None else _moment(principal.issued_at)
            login = Login(username, own, principal.branches, until, principal.token_id, issued, principal.key)
            code = None if await self._logins.note(login) else "busy"
        return code is None or _refuse(code, username, principal)

    async def _objection(self, principal: Principal, username: str, client_id: str | None) -> str | None:
        """What speaks against the login of a device whose token is valid."""
        if client_id is None:
            # Only MQTT has one: a device has no business at the other doors.
            return "mqtt-only"
        if principal.role != "device" or principal.sub != username:
            return "equipment-forbidden"
        if not await self._is_own(client_id, username, principal.branches):
            return "client-id-forbidden"
        return "rate-exceeded" if self._wait(username) > 0 else None

    async def _is_own(self, client_id: str, username: str, branches: frozenset[str]) -> bool:
        """Whether a client id is the device's: its id, that and words behind a slash, or the broker's choice.

        A client that connects ends the connection of the one before it. Ids have no slash, so no device's
        lies within another's; of two machines of one name ``<id>/<branch>`` is the one's in that branch.
        """
        if client_id == username:
            return True
        if chosen_by_broker(client_id):
            # A machine may have a name that looks like it; whoever takes that on purpose is refused.
            return not await self._logins.is_name(client_id)
        own, slash, word = client_id.partition("/")
        branch = word.partition("/")[0]
        if own != username or not slash:
            return False
        return branch in branches or not await self._logins.is_namesakes(username, branch)

    def vhost(self, form: dict[str, str]) -> bool:
        """Whether it may enter the virtual host."""
        return is_equipment_id(form.get("username", "")) and form.get("vhost") == self._vhost

    def resource(self, form: dict[str, str]) -> bool:
        """Whether it may do this to an exchange or queue: write to the telemetry exchange, nothing else."""
        return (
            self.vhost(form)
            and form.get("resource") == "exchange"
            and form.get("name") == self._exchange
            and form.get("permission") == "write"
        )

    async def topic(self, form: dict[str, str]) -> bool:
        """Whether it may use this routing key: its own, while its token lives and it keeps to its rate."""
        username = form.get("username", "")
        if not self.is_own_topic(form):
            return _refuse("mqtt-topic-forbidden", username)
        if self._wait(username) > 0:
            return _refuse("rate-exceeded", username)
        if not await self._logins.alive(username, form.get("variable_map.client_id")):
            return _refuse("token-expired", username)
        return True

    def is_own_topic(self, form: dict[str, str]) -> bool:
        """Whether the routing key is the device's own."""
        return (
            self.vhost(form)
            and form.get("resource") == "topic"
            and form.get("name") == self._exchange
            and form.get("permission") == "write"
            and form.get("routing_key") == f"telemetry.{form.get('username')}"
        )


def _refuse(code: str, username: str, principal: Principal | None = None) -> bool:
    denied(code, via="mqtt", principal=principal, claimed=username)
    return False


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return NEVER


def _is_this_host(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            return {}
    try:
        # Said twice, the last counts for one reader and the first for another: take neither.
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else {}


def mqtt_auth_router(gate: DeviceGate, *, secret: str | None) -> APIRouter:
    """Make ``POST /mqtt/auth/[<secret>/]user|vhost|resource|topic``.

    Without a secret only this host may ask, as a broker beside the service does.
    """
    router = APIRouter(prefix="/mqtt/auth", include_in_schema=False)

    async def answer(question: str, request: Request) -> PlainTextResponse:
        form = await _form(request)
        if question == "user":
            allowed = await gate.user(form, request.app.state.authenticator)
        elif question == "topic":
            allowed = await gate.topic(form)
        else:
            allowed = gate.vhost(form) if question == "vhost" else gate.resource(form)
            if not allowed:
                _refuse(f"mqtt-{question}-forbidden", form.get("username", ""))
        return PlainTextResponse("allow" if allowed else "deny")

    def unknown() -> Problem:
        return Problem(404, "not-found", "There is nothing here.")

    if secret is None:

        @router.post("/{question}")
        async def ask(question: str, request: Request) -> PlainTextResponse:
            if question not in QUESTIONS or not _is_this_host(request):
                raise unknown()
            return await answer(question, request)

    else:

        @router.post("/{given}/{question}")
        async def ask_with_secret(given: str, question: str, request: Request) -> PlainTextResponse:
            right = secrets.compare_digest(given.encode(), secret.encode())
            if question not in QUESTIONS or not right:
                raise unknown()
            return await answer(question, request)

    return router


QUESTIONS = frozenset({"user", "vhost", "resource", "topic"})
