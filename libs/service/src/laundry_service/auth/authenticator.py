"""Checks tokens: the signature, the claims, and the deny list."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jwt

from laundry_service.auth.claim_mapping import ClaimMapping
from laundry_service.auth.claims import (
    MAX_HOURS,
    MAX_TOKEN_BYTES,
    Header,
    TokenRefused,
    check_header,
    invalid,
)
from laundry_service.auth.deny_list import tell
from laundry_service.auth.issuer import UNREADABLE, Issuer, TrustedIssuer, issuer_named_in
from laundry_service.auth.keys import KeysUnavailable, UnknownKey, tell_age
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
        mapping: ClaimMapping | None = None,
        id_tokens: bool = False,
        others: Sequence[TrustedIssuer] = (),
    ) -> None:
        """Take the JWKS address and what ``iss`` and ``aud`` must be. Nothing is fetched yet.

        Args:
            timeout_s: of one fetch; requests wait less.
            lifespan_s: keys older than this are refreshed before use.
            stale_s: keys that could not be refreshed for this long are no longer used.
            max_hours: how far off a token's ``exp`` may be, by role.
            deny_list_url: the deny list's address; None means that there is none.
            mapping: what gives the role and the branches, if not the claims of these names.
            id_tokens: whether ID tokens are taken.
            others: issuers whose tokens are taken too.

        Raises:
            ValueError: two of them have the same name, or a prefix of subjects in common.
        """
        first = TrustedIssuer(
            issuer=issuer,
            jwks_url=jwks_url,
            audience=audience,
            deny_list_url=deny_list_url,
            subject_prefix="",
            mapping=mapping,
            id_tokens=id_tokens,
        )
        issuers = [
            Issuer(
                trusted,
                timeout_s=timeout_s,
                lifespan_s=lifespan_s,
                stale_s=stale_s,
                max_hours=max_hours,
                deny_list_every_s=deny_list_every_s,
            )
            for trusted in (first, *others)
        ]
        self._first = issuers[0]
        self._issuers = {each.name: each for each in issuers}
        self._prefixes = frozenset(each.prefix for each in issuers if each.prefix)
        if len(self._issuers) < len(issuers):
            raise ValueError("an issuer is named twice")
        if len(self._prefixes) < sum(bool(each.prefix) for each in issuers):
            raise ValueError("two issuers have the same subject_prefix")
        self._verified_tokens: dict[bytes, tuple[float, Header, Issuer, Principal]] = {}

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
            mapping=settings.jwt_mapping,
            id_tokens=settings.jwt_id_tokens,
            others=settings.trusted_issuers,
        )

    async def start(self) -> None:
        """Start refreshing the keys and the deny lists."""
        for issuer in self._issuers.values():
            await issuer.start()
        tell_age([issuer.keys for issuer in self._issuers.values()])
        tell([issuer.denied for issuer in self._issuers.values() if issuer.denied is not None])

    async def stop(self) -> None:
        """Stop refreshing; what was fetched last stays in use."""
        for issuer in self._issuers.values():
            await issuer.stop()

    async def knows_who_is_denied(self) -> bool:
        """Whether the first issuer's deny list, if any, has been read.

        That of another is asked for when one of its tokens comes: while one issuer is away, the people of the
        others are served.
        """
        return await self._first.knows_who_is_denied()

    async def check(self, token: str, *, seek: bool = True) -> Principal:
        """Check a token and return its principal.

        Args:
            seek: whether an unknown key may trigger a fetch from the provider.

        Raises:
            Problem: 401 for a token that is not valid or whose bearer is cut off, 503 while the keys or the
                deny list cannot be fetched.
        """
        try:
            issuer, principal = await self._check(token, seek=seek)
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
        if not await issuer.knows_who_is_denied():
            raise _unavailable("list of who is cut off", 2)
        if self._denies(issuer, principal):
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
        issuer = self._issuers.get(principal.issuer) or self._signer(principal.key)
        return (
            time.time() < principal.expires_at
            and (principal.key is None or issuer.keys.trusts(principal.key))
            and not self._denies(issuer, principal)
        )

    def _signer(self, key: str | None) -> Issuer:
        # A device's login to the broker is remembered by the fingerprint of its token's key alone.
        signers = (each for each in self._issuers.values() if key is not None and each.keys.trusts(key))
        return next(signers, self._first)

    def _denies(self, issuer: Issuer, principal: Principal) -> bool:
        # Where one sub is one person, whoever vouches for it, each list counts.
        return any(each.denies(principal) for each in self._issuers.values() if each.prefix == issuer.prefix)

    async def _check(self, token: str, *, seek: bool) -> tuple[Issuer, Principal]:
        if len(token) > MAX_TOKEN_BYTES:
            raise invalid(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        # Not the token itself: what is cached must be useless to anybody who reads the memory.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified_tokens.get(name)
        if known is not None and time.time() < known[0]:
            _, header, issuer, principal = known
            found = await issuer.keys.find(header.key_id, header.algorithm, seek=seek)
            if principal.key in {key.fingerprint for key in found}:
                return issuer, principal
        header = _header(token)
        named = self._issuers.get(issuer_named_in(token))
        if named is None:
            raise invalid("it is of another issuer (iss)")
        keys = await named.keys.find(header.key_id, header.algorithm, seek=seek)
        principal = named.verify(token, header, keys, self._prefixes - {named.prefix})
        if len(self._verified_tokens) >= CACHED_TOKENS:
            self._verified_tokens.clear()
        until = min(principal.expires_at, time.time() + TOKEN_CACHE_S)
        self._verified_tokens[name] = (until, header, named, principal)
        return named, principal


def _header(token: str) -> Header:
    try:
        header = jwt.get_unverified_header(token)
    except UNREADABLE:
        raise invalid("it is no JWT") from None
    return check_header(header)


def _unavailable(what: str, retry_after_s: int) -> Problem:
    return Problem(
        503,
        "identity-unavailable",
        f"The identity provider's {what} cannot be fetched. Try again shortly.",
        headers={"Retry-After": str(retry_after_s)},
    )
