"""A local server that speaks FCM HTTP v1 (``POST /v1/projects/{project}/messages:send``).

Beside it: a push service of browsers (``push_service.py``), ``GET /messages`` (what both took, newest last),
``DELETE /messages``, ``PUT /control`` (make them fail or slow for fault tests), ``DELETE /tokens/{token}``
(as if the app was uninstalled), ``POST /token`` as Google answers a service account (``token_uri`` of its
key), and the local identity's JWKS and deny list.
"""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laundry_servers.deny_list import LocalDenyList
from laundry_servers.identity import LocalIdentity
from laundry_servers.push_control import Control, State, received_now
from laundry_servers.push_service import push_service_routes

# FCM refuses more: https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
PAYLOAD_BYTES = 4096
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class PushNotification(BaseModel):
    """What the phone shows: title and text."""

    model_config = ConfigDict(extra="allow")

    title: str | None = None
    body: str | None = None


class Message(BaseModel):
    """A message to one device; topics and conditions are not spoken here."""

    model_config = ConfigDict(extra="allow")

    token: str = Field(min_length=1)
    notification: PushNotification = PushNotification()
    data: dict[str, str] = {}


class SendRequest(BaseModel):
    """Body of FCM's ``messages:send``: a message, and whether it is only to be validated."""

    model_config = ConfigDict(extra="allow")

    message: Message
    validate_only: bool = False


STATUS_NAMES = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    401: ("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
    404: ("NOT_FOUND", "UNREGISTERED"),
    429: ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
    500: ("INTERNAL", "INTERNAL"),
    503: ("UNAVAILABLE", "UNAVAILABLE"),
}


def _error(code: int, message: str, *, retry_after: int | None = None) -> JSONResponse:
    status, error_code = STATUS_NAMES.get(code, ("UNKNOWN", "UNSPECIFIED_ERROR"))
    details = [{"@type": FCM_ERROR, "errorCode": error_code}]
    body = {"error": {"code": code, "message": message, "status": status, "details": details}}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse(body, status_code=code, headers=headers)


def _token_in(body: bytes) -> str:
    try:
        return SendRequest.model_validate_json(body).message.token
    except ValidationError:
        return ""


async def send(request: Request) -> Response:
    """Take one message as FCM would."""
    state: State = request.app.state.fcm
    raw = await request.body()
    control = state.next_control(_token_in(raw))
    if control.delay_seconds:
        await asyncio.sleep(control.delay_seconds)
    if control.status is not None:
        return _error(control.status, "Asked to fail.", retry_after=control.retry_after_seconds)
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return _error(401, "Request is missing required authentication credential.")
    try:
        asked = SendRequest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        return _error(400, f"Invalid value at '{'.'.join(map(str, first['loc']))}': {first['msg']}")
    message = asked.message
    size = sum(len(key.encode()) + len(value.encode()) for key, value in message.data.items())
    size += len((message.notification.title or "").encode()) + len((message.notification.body or "").encode())
    if size > PAYLOAD_BYTES:
        return _error(400, f"Android message is too big: {size} bytes, {PAYLOAD_BYTES} at most.")
    if message.token.startswith("dead") or message.token in state.unregistered:
        return _error(404, "Requested entity was not found.")
    if not asked.validate_only:
        state.messages.append(
            {
                "token": message.token,
                "title": message.notification.title,
                "body": message.notification.body,
                "data": message.data,
                "received_at": received_now(),
            }
        )
    return JSONResponse({"name": f"projects/{request.path_params['project']}/messages/{uuid4()}"})


async def grant(_request: Request) -> Response:
    """Give a service account an access token (RFC 7523); ``send`` looks at none."""
    return JSONResponse({"access_token": "local", "expires_in": 3600, "token_type": "Bearer"})


async def list_messages(request: Request) -> Response:
    """Return every message taken, oldest first; ``?token=`` narrows it to one device."""
    token = request.query_params.get("token")
    return JSONResponse([m for m in request.app.state.fcm.messages if token is None or m["token"] == token])


async def forget_messages(request: Request) -> Response:
    """Empty the list of pushes that were taken."""
    request.app.state.fcm.messages.clear()
    return Response(status_code=204)


async def unregister(request: Request) -> Response:
    """Treat a token as gone from now on."""
    request.app.state.fcm.unregistered.add(request.path_params["token"])
    return Response(status_code=204)


async def set_control(request: Request) -> Response:
    """Change how the server misbehaves."""
    try:
        request.app.state.fcm.control = Control.model_validate_json(await request.body())
    except ValidationError as error:
        return JSONResponse({"title": "Bad control", "detail": str(error)}, status_code=422)
    return Response(status_code=204)


async def livez(_: Request) -> Response:
    """Say that it is up."""
    return Response("ok")


def _document(request: Request, content: Any, *, cached_s: int) -> Response:
    answer = JSONResponse(content, headers={"Cache-Control": f"max-age={cached_s}"})
    etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    answer.headers["ETag"] = etag
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return answer


def make_app(identity: LocalIdentity) -> Starlette:
    """Return the server with its own empty memory."""
    deny_list = LocalDenyList(identity.key_file.parent)
    state = State()

    # Read at each request: the key is rotated, and people are cut off, while this runs.
    async def keys(request: Request) -> Response:
        return _document(request, identity.jwks(), cached_s=60)

    async def denied(request: Request) -> Response:
        return _document(request, deny_list.document(), cached_s=10)

    app = Starlette(
        routes=[
            Route("/v1/projects/{project}/messages:send", send, methods=["POST"]),
            Route("/token", grant, methods=["POST"]),
            Route("/messages", list_messages, methods=["GET"]),
            Route("/messages", forget_messages, methods=["DELETE"]),
            Route("/tokens/{token:path}", unregister, methods=["DELETE"]),
            Route("/control", set_control, methods=["PUT"]),
            Route("/.well-known/jwks.json", keys),
            Route("/.well-known/denied.json", denied),
            Route("/livez", livez),
            *push_service_routes(state),
        ]
    )
    app.state.fcm = state
    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(LocalIdentity(Path(os.environ["LAUNDRY_IDENTITY_DIR"]))),
        host=os.environ.get("LAUNDRY_HOST", "127.0.0.1"),
        port=int(os.environ["LAUNDRY_PORT"]),
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
