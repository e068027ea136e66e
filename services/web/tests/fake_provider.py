"""An OpenID provider in the test's own process: it speaks the protocol and does as it is told."""

import asyncio
import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlencode

import jwt
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from laundry_testing.identity import FileIdentity

CLIENT, SECRET = "laundry-pages", "a secret of the client"
LIFE_S = 300


@dataclass
class Person:
    """Somebody with an account: what tokens say of them."""

    sub: str = "kim"
    role: str | None = "helper"
    branches: tuple[str, ...] = ("b1",)
    name: str | None = "Kim"


@dataclass
class Grant:
    """A refresh token's: it ends when it is revoked."""

    person: Person
    revoked: bool = False


@dataclass
class Asked:
    """What came with an authorization request."""

    query: dict[str, str]
    person: Person
    used: bool = False


@dataclass
class FakeProvider:
    """The provider's state, and the levers that a test pulls."""

    identity: FileIdentity
    url: str = ""
    person: Person = field(default_factory=Person)
    grants: dict[str, Grant] = field(default_factory=dict)
    codes: dict[str, Asked] = field(default_factory=dict)
    # How often each was asked for.
    refreshes: int = 0
    revoked: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    # Set these to make trouble.
    away: bool = False
    rotates: bool = False
    clock_s: int = 0
    life_s: int = LIFE_S
    token_bytes: int = 24
    claims: dict[str, Any] = field(default_factory=dict)
    access_claims: dict[str, Any] = field(default_factory=dict)
    gives_id_token_as_access_token: bool = False
    hold: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.app = self._app()

    def reset(self) -> None:
        """Forget everybody, and make no trouble."""
        kept = {"identity", "url"}
        fresh = FakeProvider(self.identity)
        for each in fields(self):
            if each.name not in kept:
                setattr(self, each.name, getattr(fresh, each.name))

    @property
    def settings(self) -> dict[str, Any]:
        """What the web service's settings need in order to sign people in here."""
        return {
            **self.identity.settings,
            "oidc_issuer": self.identity.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_discovery_url": f"{self.url}/.well-known/openid-configuration",
        }

    def grant(self, person: Person) -> str:
        """Return a refresh token of somebody who has signed in."""
        token = secrets.token_urlsafe(self.token_bytes)
        self.grants[token] = Grant(person)
        return token

    def end(self, person: Person) -> None:
        """Sign a person out everywhere: the password was changed, or the account is closed."""
        for grant in self.grants.values():
            grant.revoked |= grant.person is person

    def signed(self, **claims: Any) -> str:
        key = self.identity.local.key_file.read_bytes()
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": self.identity.local.key_id})

    def access_token(self, person: Person) -> str:
        now = int(time.time()) + self.clock_s
        role = {} if person.role is None else {"role": person.role}
        claims = {
            "iss": self.identity.issuer,
            "aud": self.identity.audience,
            "sub": person.sub,
            "branches": list(person.branches),
            "iat": now,
            "exp": now + self.life_s,
            "jti": secrets.token_hex(8),
        }
        return self.signed(**{**claims, **role, **self.access_claims})

    def id_token(self, person: Person, nonce: str | None = None) -> str:
        now = int(time.time()) + self.clock_s
        claims = {
            "iss": self.identity.issuer,
            "aud": CLIENT,
            "sub": person.sub,
            "iat": now,
            "exp": now + LIFE_S,
            "name": person.name,
            "nonce": nonce,
        }
        return self.signed(**{name: value for name, value in {**claims, **self.claims}.items() if value})

    def _tokens(self, person: Person, refresh_token: str, nonce: str | None = None) -> dict[str, Any]:
        id_token = self.id_token(person, nonce)
        access = id_token if self.gives_id_token_as_access_token else self.access_token(person)
        return {
            "token_type": "Bearer",
            "access_token": access,
            "id_token": id_token,
            "refresh_token": refresh_token,
            "expires_in": self.life_s,
        }

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def trouble(request: Request, call_next: Any) -> Response:
            if self.hold is not None:
                await self.hold.wait()
            return Response(status_code=503) if self.away else await call_next(request)

        @app.get("/.well-known/openid-configuration")
        async def configuration() -> dict[str, Any]:
            return {
                "issuer": self.identity.issuer,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "revocation_endpoint": f"{self.url}/revoke",
                "end_session_endpoint": f"{self.url}/sign-out",
                "jwks_uri": self.identity.jwks_url,
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }

        @app.get("/authorize")
        async def authorize(request: Request) -> Response:
            query = dict(request.query_params)
            self.asked.append(query)
            code = secrets.token_urlsafe(16)
            self.codes[code] = Asked(query, self.person)
            answer = {"code": code, "state": query["state"]}
            return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

        @app.post("/token")
        async def token(request: Request) -> Response:
            form = {name: str(value) for name, value in (await request.form()).items()}
            given = request.headers.get("authorization", "")
            if given != "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode():
                return JSONResponse({"error": "invalid_client"}, 401)
            if form["grant_type"] == "refresh_token":
                return self._refresh(form["refresh_token"])
            return self._redeem(form)

        @app.post("/revoke")
        async def revoke(request: Request) -> Response:
            token = str((await request.form())["token"])
            self.revoked.append(token)
            self.grants[token].revoked = True
            return Response(status_code=200)

        @app.get("/sign-out")
        async def sign_out(request: Request) -> Response:
            return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)

        return app

    def _redeem(self, form: dict[str, str]) -> Response:
        asked = self.codes.get(form.get("code", ""))
        if asked is None or asked.used:
            return JSONResponse({"error": "invalid_grant"}, 400)
        asked.used = True
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if asked.query.get("code_challenge_method") != "S256" or asked.query["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant", "error_description": "PKCE"}, 400)
        return JSONResponse(self._tokens(asked.person, self.grant(asked.person), asked.query.get("nonce")))

    def _refresh(self, token: str) -> Response:
        self.refreshes += 1
        grant = self.grants.get(token)
        if grant is None or grant.revoked:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if self.rotates:
            # Used once: from now on it is a thief's.
            grant.revoked = True
            token = self.grant(grant.person)
        return JSONResponse(self._tokens(grant.person, token))
