"""Answers the broker's questions about equipment that connects by MQTT.

RabbitMQ's ``rabbitmq_auth_backend_http`` posts forms and reads ``allow`` or ``deny``. A device logs in with
its equipment id and its JWT, and may do one thing: publish to ``telemetry/<its id>``.
"""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from laundry_service.auth import Authenticator
from laundry_service.denials import denied
from laundry_service.problems import Problem
from monitoring.telemetry import is_equipment_id

MAX_FORM_BYTES = 16 * 1024

NoteLogin = Callable[[str, frozenset[str]], Awaitable[None]]


class DeviceGate:
    """What a device may do at the broker."""

    def __init__(self, *, vhost: str, exchange: str, note_login: NoteLogin) -> None:
        """Take where telemetry goes, and who remembers the branches of a login."""
        self._vhost = vhost
        self._exchange = exchange
        self._note_login = note_login

    async def user(self, form: dict[str, str], authenticator: Authenticator) -> bool:
        """Whether the password is a device's own valid token."""
        username = form.get("username", "")
        if not is_equipment_id(username) or not form.get("password"):
            denied("login-invalid", via="mqtt", claimed=username)
            return False
        try:
            principal = await authenticator.check(form["password"])
        except Problem as problem:
            denied(problem.code, via="mqtt", principal=problem.principal, claimed=username)
            return False
        if principal.role != "device" or principal.sub != username:
            denied("equipment-forbidden", via="mqtt", principal=principal, claimed=username)
            return False
        await self._note_login(username, principal.branches)
        return True

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

    def topic(self, form: dict[str, str]) -> bool:
        """Whether it may use this routing key: its own."""
        return (
            self.vhost(form)
            and form.get("resource") == "topic"
            and form.get("name") == self._exchange
            and form.get("permission") == "write"
            and form.get("routing_key") == f"telemetry.{form.get('username')}"
        )


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
        else:
            allowed = {"vhost": gate.vhost, "resource": gate.resource, "topic": gate.topic}[question](form)
            if not allowed:
                denied(f"mqtt-{question}-forbidden", via="mqtt", claimed=form.get("username"))
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
