"""A local push service (RFC 8030) and the browsers at it, so that what they are sent can be read.

``POST /web-push/subscriptions`` subscribes as a browser would, ``POST /web-push/{id}`` takes a push for it,
and ``DELETE /web-push/{id}`` ends the subscription. Real push services cannot read what they carry; this one
has the browser's key as well, decrypts each message and keeps it beside FCM's: ``GET
/messages?token=<endpoint>``.
"""

import asyncio
import base64
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laundry_servers.browser_message import BadMessage, open_message
from laundry_servers.push_control import State, received_now

MOST_BYTES = 4096
# How far off a token's end may be (RFC 8292 section 2).
LONGEST_TOKEN_S = 24 * 3600
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
URGENCIES = {"very-low", "low", "normal", "high"}
VAPID = re.compile(r"vapid t=([^,\s]+),\s*k=([^,\s]+)")
PUBLIC_URL = "LAUNDRY_PUSH_SERVICE_URL"


class Subscribing(BaseModel):
    """What a page subscribes with."""

    key: str = Field(alias="applicationServerKey", min_length=80, max_length=100)


@dataclass(frozen=True)
class Browser:
    """One subscription; ``key`` is the server's that may push to it."""

    key: str
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def document(self, endpoint: str) -> dict[str, Any]:
        """Return what ``PushSubscription.toJSON()`` would."""
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _base64url(point), "auth": _base64url(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}


class Refused(Exception):
    """A push is not taken; ``status`` says how that is answered."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def push_service_routes(state: State) -> list[Route]:
    """Make the routes; what is taken and how to misbehave is in ``state``."""
    browsers: dict[str, Browser] = {}

    def root(request: Request) -> str:
        return os.environ.get(PUBLIC_URL, str(request.base_url)).rstrip("/")

    async def subscribe(request: Request) -> Response:
        try:
            asked = Subscribing.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"title": "Bad subscription", "detail": str(error)}, status_code=422)
        name = secrets.token_urlsafe(24)
        browsers[name] = Browser(asked.key)
        return JSONResponse(browsers[name].document(f"{root(request)}/web-push/{name}"), status_code=201)

    async def take(request: Request) -> Response:
        name = request.path_params["name"]
        endpoint = f"{root(request)}/web-push/{name}"
        body = await request.body()
        control = state.next_control(endpoint)
        if control.delay_seconds:
            await asyncio.sleep(control.delay_seconds)
        if control.status is not None:
            waits = control.retry_after_seconds
            answer = Response("Asked to fail.", status_code=control.status)
            if waits is not None:
                answer.headers["Retry-After"] = str(waits)
            if control.status < 400:
                answer.headers["Location"] = f"{root(request)}/messages"
            return answer
        headers = dict(request.headers)
        try:
            message = _read(browsers.get(name), headers, body, origin=root(request))
        except Refused as refused:
            return Response(str(refused), status_code=refused.status)
        state.messages.append(
            {
                "token": endpoint,
                "title": message.get("title"),
                "body": message.get("body"),
                "data": message.get("data", {}),
                "received_at": received_now(),
                "message": message,
                "headers": {name: headers.get(name) for name in ("ttl", "urgency", "topic")},
            }
        )
        return Response(status_code=201, headers={"Location": f"{root(request)}/m/{secrets.token_hex(8)}"})

    async def unsubscribe(request: Request) -> Response:
        browsers.pop(request.path_params["name"], None)
        return Response(status_code=204)

    return [
        Route("/web-push/subscriptions", subscribe, methods=["POST"]),
        Route("/web-push/{name}", take, methods=["POST"]),
        Route("/web-push/{name}", unsubscribe, methods=["DELETE"]),
    ]


def _read(browser: Browser | None, headers: dict[str, str], body: bytes, *, origin: str) -> dict[str, Any]:
    """Check a push and decrypt what it says. Raises Refused."""
    if browser is None:
        raise Refused(410, "Unsubscribed.")
    _check(headers, body, origin=origin, key=browser.key)
    try:
        found: dict[str, Any] = json.loads(open_message(body, browser.private, browser.auth))
    except (BadMessage, InvalidTag, ValueError) as error:
        raise Refused(400, f"The browser cannot read it: {error}") from error
    return found


def _check(headers: dict[str, str], body: bytes, *, origin: str, key: str) -> None:
    """Check a push as strictly as any push service. Raises Refused."""
    if len(body) > MOST_BYTES:
        raise Refused(413, f"{len(body)} bytes; {MOST_BYTES} at most.")
    if headers.get("content-encoding") != "aes128gcm":
        raise Refused(400, "Content-Encoding is aes128gcm.")
    if not headers.get("ttl", "").isdecimal():
        raise Refused(400, "TTL is missing.")
    if headers.get("urgency", "normal") not in URGENCIES:
        raise Refused(400, "That is no Urgency.")
    topic = headers.get("topic")
    # Apple decodes it, so its length must be one that base64 has.
    if topic is not None and (not TOPIC.fullmatch(topic) or len(topic) % 4 == 1):
        raise Refused(400, "That is no Topic.")
    found = VAPID.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise Refused(401, "Authorization is vapid t=..., k=....")
    token, sender = found.groups()
    if sender != key:
        raise Refused(403, "The browser subscribed with another key.")
    try:
        point = base64.urlsafe_b64decode(sender + "=" * (-len(sender) % 4))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        options: Any = {"require": ["exp", "sub", "aud"]}
        claims = jwt.decode(token, public, algorithms=["ES256"], audience=origin, options=options)
    except (ValueError, jwt.PyJWTError) as error:
        raise Refused(403, f"BadJwtToken: {error}") from error
    if claims["exp"] > time.time() + LONGEST_TOKEN_S:
        raise Refused(403, "BadJwtToken: it ends more than a day from now.")
    if not str(claims["sub"]).startswith(("mailto:", "https://")):
        raise Refused(403, "BadJwtToken: sub is nobody's address.")
