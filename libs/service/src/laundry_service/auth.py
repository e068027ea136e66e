"""Who is calling: a bearer JWT checked against the identity provider's JWKS.

Claims: ``sub``, ``role`` (helper, owner, customer, operator, device) and ``branches``.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast, get_args

import jwt
import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from laundry_service.problems import Problem

Role = Literal["helper", "owner", "customer", "operator", "device"]
ROLES: tuple[str, ...] = get_args(Role)
ALGORITHMS = ["ES256", "RS256", "EdDSA"]
CHALLENGE = {"WWW-Authenticate": "Bearer"}

# A phone sends the same token with each request: what was checked is believed so long, and of so many tokens.
BELIEVED_S = 60.0
BELIEVED_TOKENS = 4096

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Principal:
    """The caller, as the identity provider vouches for.

    Attributes:
        expires_at: the token's ``exp`` in Unix seconds; what is begun on its behalf ends by then.
        token_id: the token's ``jti``, if it has one.
    """

    sub: str
    role: Role
    branches: frozenset[str] = field(default_factory=frozenset)
    expires_at: float = math.inf
    token_id: str | None = None

    def may_see_branch(self, branch_id: str) -> bool:
        """Whether the branch is in the token's claim; an operator sees all."""
        return self.role == "operator" or branch_id in self.branches


class Authenticator:
    """Checks tokens. Keys are fetched once and again when an unknown key id appears."""

    def __init__(self, jwks_url: str, *, issuer: str, audience: str, timeout_s: float = 5.0) -> None:
        """Take the JWKS address and what ``iss`` and ``aud`` must be."""
        self._keys = jwt.PyJWKClient(jwks_url, cache_keys=True, lifespan=3600, timeout=timeout_s)
        self._issuer = issuer
        self._audience = audience
        self._believed: dict[str, tuple[float, Principal]] = {}

    async def check(self, token: str) -> Principal:
        """Check a token and read who it names; a token that was checked within a minute is not checked anew.

        Raises:
            Problem: 401 for a token that is not valid, 503 while the key set cannot be reached.
        """
        until, principal = self._believed.get(token, (0.0, None))
        if principal is not None and time.time() < until:
            return principal
        principal = await self._check(token)
        if len(self._believed) >= BELIEVED_TOKENS:
            self._believed.clear()
        self._believed[token] = (min(principal.expires_at, time.time() + BELIEVED_S), principal)
        return principal

    def allows(self, principal: Principal) -> bool:
        """Whether what was begun for this caller may go on: asked again and again while it lasts."""
        return time.time() < principal.expires_at

    async def _check(self, token: str) -> Principal:
        try:
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=5,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            log.warning("the JWKS cannot be reached", error=str(error))
            raise Problem(
                503,
                "identity-unavailable",
                "The identity provider's keys cannot be fetched. Try again shortly.",
                headers={"Retry-After": "5"},
            ) from error
        except jwt.ExpiredSignatureError as error:
            raise Problem(
                401, "token-expired", "The token has expired. Sign in again.", headers=CHALLENGE
            ) from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Problem(
                401, "token-invalid", f"The token is not valid: {error}", headers=CHALLENGE
            ) from error
        return _principal(claims)


def _principal(claims: dict[str, Any]) -> Principal:
    role, branches = claims.get("role"), claims.get("branches", [])
    well_formed = isinstance(branches, list) and all(isinstance(branch, str) for branch in branches)
    if role not in ROLES or not well_formed or not str(claims["sub"]):
        raise Problem(
            401, "token-invalid", "The token lacks a known role or a list of branches.", headers=CHALLENGE
        )
    token_id = claims.get("jti")
    return Principal(
        str(claims["sub"]),
        cast("Role", role),
        frozenset(branches),
        expires_at=float(claims["exp"]),
        token_id=token_id if isinstance(token_id, str) else None,
    )


_bearer = HTTPBearer(auto_error=False, description="A JWT with the claims sub, role and branches")


async def current_principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """FastAPI dependency: the caller of this request, else 401."""
    if credentials is None:
        raise Problem(401, "token-missing", "Send a token: Authorization: Bearer <JWT>.", headers=CHALLENGE)
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.check(credentials.credentials)


Caller = Annotated[Principal, Depends(current_principal)]


def require(*roles: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """Make a dependency for these roles only: ``Annotated[Principal, Depends(require("owner"))]``."""

    # Not a plain function: those are sent to a thread, for every request.
    async def check(principal: Caller) -> Principal:
        if principal.role not in roles:
            raise Problem(
                403,
                "role-forbidden",
                f"This needs the role {' or '.join(roles)}; the token says {principal.role}.",
            )
        return principal

    return check


def require_branch(principal: Principal, branch_id: str) -> None:
    """Refuse a branch outside the token's claim.

    Raises:
        Problem: 403; the same whether the branch exists or not, so that nobody can probe for names.
    """
    if not principal.may_see_branch(branch_id):
        raise Problem(403, "branch-forbidden", f"The token does not name the branch {branch_id[:40]!r}.")
