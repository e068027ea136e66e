"""Checks tokens: the signature, the claims, and the deny list."""

import hashlib
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt

from laundry_service.auth.claims import (
    MAX_HOURS,
    MAX_TOKEN_BYTES,
    Header,
    TokenRefused,
    check_claims,
    check_header,
    invalid,
)
from laundry_service.auth.deny_list import DenyListFollower
from laundry_service.auth.key_set import TrustedKey
from laundry_service.auth.keys import KeysUnavailable, ProviderKeys, UnknownKey
from laundry_service.auth.principal import Principal, Role
from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from laundry_service.settings import TrustSettings

CHALLENGE = {"WWW-Authenticate": "Bearer"}
LIFESPAN_S = 120.0
STALE_S = 1800.0
DENY_LIST_EVERY_S = 15.0

# A phone sends the same token with each request: a verified one is cached for so long, and so many of them.
TOKEN_CACHE_S = 60.0
CACHED_TOKENS = 4096
# What PyJWT raises, in words that reveal nothing of the token.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidSignatureError, "its signature is not by the key that it names"),
    (jwt.InvalidAudienceError, "it is for another product (aud)"),
    (jwt.InvalidIssuerError, "it is of another issuer (iss)"),
    (jwt.MissingRequiredClaimError, "it lacks exp, sub, iss or aud"),
)


class Authenticator:
    """Says who a token belongs to, and whether work begun on their behalf may continue."""

    def __init__(
        self,
        jwks_url: str,
        *,
        issuer: str,
        audience: str,
        timeout_s: float = 5.0,
        lifespan_s: float = LIFESPAN_S,
        stale_s: float = STALE_S,
        max_hours: Mapping[Role, float] = MAX_HOURS,
        deny_list_url: str | None = None,
        deny_list_every_s: float = DENY_LIST_EVERY_S,
    ) -> None:
        """Take the JWKS address and what ``iss`` and ``aud`` must be. Nothing is fetched yet.

        Args:
            timeout_s: of one fetch; requests wait less.
            lifespan_s: keys older than this are refreshed before use.
            stale_s: keys that could not be refreshed for this long are no longer used.
            max_hours: how far off a token's ``exp`` may be, by role.
            deny_list_url: the deny list's address; None means that there is none.
        """
        self._keys = ProviderKeys(jwks_url, lifespan_s=lifespan_s, stale_s=stale_s, timeout_s=timeout_s)
        self._denied = (
            None
            if deny_list_url is None
            else DenyListFollower(deny_list_url, every_s=deny_list_every_s, timeout_s=timeout_s)
        )
        self._issuer = issuer
        self._audience = audience
        self._max_hours = max_hours
        self._verified_tokens: dict[bytes, tuple[float, Header, Principal]] = {}

    @classmethod
    def of(cls, settings: "TrustSettings") -> "Authenticator":
        """Make one from a service's settings."""
        return cls(
            settings.jwks_url,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            lifespan_s=settings.jwks_lifespan_s,
            stale_s=settings.jwks_stale_s,
            max_hours={**MAX_HOURS, **settings.token_max_hours},
            deny_list_url=settings.deny_list_url or None,
            deny_list_every_s=settings.deny_list_every_s,
        )

    async def start(self) -> None:
        """Start refreshing the keys and the deny list."""
        await self._keys.start()
        if self._denied is not None:
            await self._denied.start()

    async def stop(self) -> None:
        """Stop refreshing; what was fetched last stays in use."""
        await self._keys.stop()
        if self._denied is not None:
            await self._denied.stop()

    async def knows_who_is_denied(self) -> bool:
        """Whether the deny list, if any, has been read."""
        return self._denied is None or await self._denied.known()

    async def check(self, token: str, *, seek: bool = True) -> Principal:
        """Check a token and return its principal.

        Args:
            seek: whether an unknown key may trigger a fetch from the provider.

        Raises:
            Problem: 401 for a token that is not valid or whose bearer is cut off, 503 while the keys or the
                deny list cannot be had.
        """
        try:
            principal = await self._check(token, seek=seek)
        except TokenRefused as refusal:
            raise Problem(401, refusal.code, refusal.detail, headers=CHALLENGE) from refusal
        except UnknownKey:
            raise Problem(
                401,
                "token-invalid",
                "The token is not valid: its key is not one of the identity provider's. Sign in again.",
                headers=CHALLENGE,
            ) from None
        except KeysUnavailable as error:
            raise _unavailable("keys", error.retry_after_s) from error
        if not await self.knows_who_is_denied():
            raise _unavailable("list of who is cut off", 2)
        if self._denied is not None and self._denied.covers(principal):
            refused = Problem(
                401,
                "token-denied",
                "This sign-in was ended by whoever manages your account. Ask them, or sign in again.",
                headers=CHALLENGE,
            )
            refused.principal = principal
            raise refused
        return principal

    def allows(self, principal: Principal) -> bool:
        """Whether work begun for this caller may continue; called repeatedly while it lasts.

        False after the token's end, once its bearer is on the deny list, and once its key is withdrawn.
        """
        return (
            time.time() < principal.expires_at
            and (principal.key is None or self._keys.trusts(principal.key))
            and (self._denied is None or not self._denied.covers(principal))
        )

    async def _check(self, token: str, *, seek: bool) -> Principal:
        if len(token) > MAX_TOKEN_BYTES:
            raise invalid(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        # Not the token itself: what is cached must be useless to anybody who reads the memory.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        until, header, principal = self._verified_tokens.get(name, (-math.inf, None, None))
        if header is not None and principal is not None and time.time() < until:
            found = await self._keys.find(header.key_id, header.algorithm, seek=seek)
            if principal.key in {key.fingerprint for key in found}:
                return principal
        header = _header(token)
        keys = await self._keys.find(header.key_id, header.algorithm, seek=seek)
        principal = self._verified(token, header, keys)
        if len(self._verified_tokens) >= CACHED_TOKENS:
            self._verified_tokens.clear()
        self._verified_tokens[name] = (
            min(principal.expires_at, time.time() + TOKEN_CACHE_S),
            header,
            principal,
        )
        return principal

    def _verified(self, token: str, header: Header, keys: tuple[TrustedKey, ...]) -> Principal:
        refusal: TokenRefused = invalid("its key is not known")
        for key in keys:
            try:
                claims = self._decoded(token, header, key)
            except TokenRefused as error:
                refusal = error
            else:
                return check_claims(claims, now=time.time(), max_hours=self._max_hours, key=key.fingerprint)
        raise refusal

    def _decoded(self, token: str, header: Header, key: TrustedKey) -> dict[str, Any]:
        try:
            # The times and names are checked by check_claims, which bounds them.
            return jwt.decode(
                token,
                key.key,
                algorithms=[header.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["exp", "sub", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except _UNREADABLE as error:
            for kind, reason in REASONS:
                if isinstance(error, kind):
                    raise invalid(reason) from None
            raise invalid("it cannot be read") from None


# PyJWT lets some of these through from a token's own JSON and keys.
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


def _header(token: str) -> Header:
    try:
        header = jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise invalid("it is no JWT") from None
    return check_header(header)


def _unavailable(what: str, retry_after_s: int) -> Problem:
    return Problem(
        503,
        "identity-unavailable",
        f"The identity provider's {what} cannot be fetched. Try again shortly.",
        headers={"Retry-After": str(retry_after_s)},
    )
