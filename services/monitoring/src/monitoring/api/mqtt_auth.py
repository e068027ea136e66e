"""Where the broker asks about devices.

RabbitMQ's ``rabbitmq_auth_backend_http`` posts forms and reads ``allow`` or ``deny``.
"""

import ipaddress
from collections.abc import Sequence
from secrets import compare_digest
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from laundry_service.auth.authenticator import Authenticator
from laundry_service.http.problems import Problem
from monitoring.api.request_body import read_body
from monitoring.service.mqtt_authorization import Form, MqttAuthorizer, refuse
from monitoring.telemetry import is_equipment_id

MAX_FORM_BYTES = 16 * 1024
QUESTIONS = frozenset({"user", "vhost", "resource", "topic"})


def _is_this_host(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, max_bytes=MAX_FORM_BYTES)
    if body is None:
        return {}
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    # Of a field that comes twice one reader takes the last and another the first: take neither.
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else {}


async def may_log_in(authorizer: MqttAuthorizer, form: Form, authenticator: Authenticator) -> bool:
    """Whether the password is a device's own valid token, and the client id its own."""
    username = form.get("username", "")
    if not is_equipment_id(username) or not form.get("password"):
        return refuse("login-invalid", username)
    try:
        principal = await authenticator.check(form["password"])
    except Problem as problem:
        return refuse(problem.code, username, problem.principal)
    return await authorizer.log_in(principal, username, form.get("client_id"))


def mqtt_auth_router(authorizer: MqttAuthorizer, *, secrets: Sequence[str]) -> APIRouter:
    """Make ``POST /mqtt/auth/[<secret>/]user|vhost|resource|topic``; each of the secrets is taken.

    Without any only this host may ask, as a broker beside the service does.
    """
    router = APIRouter(prefix="/mqtt/auth", include_in_schema=False)

    async def answer(question: str, request: Request) -> PlainTextResponse:
        form = await _form(request)
        if question == "user":
            allowed = await may_log_in(authorizer, form, request.app.state.authenticator)
        elif question == "topic":
            allowed = await authorizer.topic(form)
        else:
            allowed = authorizer.vhost(form) if question == "vhost" else authorizer.resource(form)
            if not allowed:
                refuse(f"mqtt-{question}-forbidden", form.get("username", ""))
        return PlainTextResponse("allow" if allowed else "deny")

    def unknown() -> Problem:
        return Problem(404, "not-found", "There is nothing here.")

    if not secrets:

        @router.post("/{question}")
        async def ask(question: str, request: Request) -> PlainTextResponse:
            if question not in QUESTIONS or not _is_this_host(request):
                raise unknown()
            return await answer(question, request)

    else:

        @router.post("/{given}/{question}")
        async def ask_with_secret(given: str, question: str, request: Request) -> PlainTextResponse:
            right = [compare_digest(given.encode(), secret.encode()) for secret in secrets]
            if question not in QUESTIONS or not any(right):
                raise unknown()
            return await answer(question, request)

    return router
