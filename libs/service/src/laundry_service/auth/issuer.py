"""One issuer whose tokens are taken: its keys, its deny list, and what it may say of whom."""

import dataclasses
import time
from collections.abc import Mapping, Set
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict, Field

from laundry_service.auth.claim_mapping import ClaimMapping, mapped
from laundry_service.auth.claims import MAX_SUBJECT, Header, TokenRefused, check_claims, invalid
from laundry_service.auth.deny_list import DenyListFollower
from laundry_service.auth.key_set import TrustedKey
from laundry_service.auth.keys import ProviderKeys
from laundry_service.auth.principal import Principal, Role

# What PyJWT raises, in words that reveal nothing of the token.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidSignatureError, "its signature is not by the key that it names"),
    (jwt.InvalidAudienceError, "it is for another product (aud)"),
    (jwt.InvalidIssuerError, "it is of another issuer (iss)"),
    (jwt.MissingRequiredClaimError, "it lacks exp, sub, iss or aud"),
)
# PyJWT lets some of these through from a token's own JSON and keys.
UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
# Of ID tokens only: OpenID Connect Core §3.1.3.6 and §3.3.2.11.
ID_TOKEN_HASHES = frozenset({"at_hash", "c_hash"})


class TrustedIssuer(BaseModel):
    """An issuer beside the first, as the settings name it.

    Its people are told apart from all others by ``subject_prefix``, which is put before their ``sub``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, description="The iss of its tokens, to the letter")
    jwks_url: str = Field(min_length=1, description="Where it publishes its keys")
    audience: str = Field(
        min_length=1,
        description="The aud of its tokens; with id_tokens the id of our client at the provider",
    )
    deny_list_url: str | None = Field(
        default=None, description="Where it lists who is cut off before a token ends, if anywhere"
    )
    subject_prefix: str = Field(
        pattern=r"^([a-z0-9-]{1,40}:)?$",
        description="Put before every sub, with its colon, such as kakao: - empty only where subs are those "
        "of the first issuer: then one sub is one person, whoever vouches for it",
    )
    roles: frozenset[Role] | None = Field(
        default=None, description="The roles that it may give; null for all of them"
    )
    forced_role: Role | None = Field(
        default=None,
        description="Its people have this role and no branches, whatever its tokens say",
    )
    mapping: ClaimMapping | None = Field(
        default=None, description="Where its tokens have no role and branches of ours, what gives them"
    )
    id_tokens: bool = Field(
        default=False,
        description="Take its ID tokens, for a provider whose access tokens are not JWTs (Kakao, Naver)",
    )


class Issuer:
    """Checks the tokens of one issuer."""

    def __init__(
        self,
        trusted: TrustedIssuer,
        *,
        timeout_s: float,
        lifespan_s: float,
        stale_s: float,
        max_hours: Mapping[Role, float],
        deny_list_every_s: float,
    ) -> None:
        """Take what is known of it and how its keys and its list are followed. Nothing is fetched yet."""
        self.name = trusted.issuer
        self.prefix = trusted.subject_prefix
        self.keys = ProviderKeys(
            trusted.jwks_url, lifespan_s=lifespan_s, stale_s=stale_s, timeout_s=timeout_s
        )
        self._trusted = trusted
        self._max_hours = max_hours
        self.denied = (
            None
            if not trusted.deny_list_url
            else DenyListFollower(trusted.deny_list_url, every_s=deny_list_every_s, timeout_s=timeout_s)
        )

    async def start(self) -> None:
        """Start refreshing the keys and the deny list."""
        await self.keys.start()
        if self.denied is not None:
            await self.denied.start()

    async def stop(self) -> None:
        """Stop refreshing; what was fetched last stays in use."""
        await self.keys.stop()
        if self.denied is not None:
            await self.denied.stop()

    async def knows_who_is_denied(self) -> bool:
        """Whether the deny list, if any, has been read."""
        return self.denied is None or await self.denied.known()

    def denies(self, principal: Principal) -> bool:
        """Whether its deny list, as far as it is known, covers somebody whose ``sub`` has its prefix."""
        if self.denied is None:
            return False
        own = dataclasses.replace(principal, sub=principal.sub.removeprefix(self.prefix))
        return self.denied.covers(own)

    def verify(
        self, token: str, header: Header, keys: tuple[TrustedKey, ...], others: Set[str] = frozenset()
    ) -> Principal:
        """Check a token's signature and claims, and return its principal.

        Args:
            keys: those of the id that its header names.
            others: prefixes that mark the people of other issuers.

        Raises:
            TokenRefused: with what is wrong.
        """
        refusal: TokenRefused = invalid("its key is not known")
        for key in keys:
            try:
                claims = self._decoded(token, header, key)
            except TokenRefused as error:
                refusal = error
            else:
                return self._principal(claims, key.fingerprint, others)
        raise refusal

    def _principal(self, claims: dict[str, Any], key: str, others: Set[str]) -> Principal:
        if not self._trusted.id_tokens and _is_id_token(claims):
            raise invalid("it is an ID token, which says who somebody is and opens nothing")
        if self._trusted.mapping is not None:
            claims = mapped(claims, self._trusted.mapping)
        forced = self._trusted.forced_role
        if forced is not None:
            claims = {**claims, "role": forced, "branches": []}
        found = check_claims(claims, now=time.time(), max_hours=self._max_hours, key=key)
        if self._trusted.roles is not None and found.role not in self._trusted.roles:
            raise invalid("its issuer may not give this role")
        if not self.prefix and any(found.sub.startswith(other) for other in others):
            raise invalid("its sub is one of another issuer's")
        if len(self.prefix) + len(found.sub) > MAX_SUBJECT:
            raise invalid(f"its sub is too long: with {self.prefix} it has at most {MAX_SUBJECT} characters")
        return dataclasses.replace(found, sub=self.prefix + found.sub, issuer=self.name)

    def _decoded(self, token: str, header: Header, key: TrustedKey) -> dict[str, Any]:
        try:
            # The times and names are checked by check_claims, which bounds them.
            return jwt.decode(
                token,
                key.key,
                algorithms=[header.algorithm],
                audience=self._trusted.audience,
                issuer=self._trusted.issuer,
                options={
                    "require": ["exp", "sub", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except UNREADABLE as error:
            for kind, reason in REASONS:
                if isinstance(error, kind):
                    raise invalid(reason) from None
            raise invalid("it cannot be read") from None


def issuer_named_in(token: str) -> str:
    """Read whom a token names as its issuer, unverified: it decides only whose keys it is held against.

    Raises:
        TokenRefused: it names none.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        named = claims.get("iss")
    except UNREADABLE:
        raise invalid("it cannot be read") from None
    if not isinstance(named, str):
        raise invalid("it lacks exp, sub, iss or aud")
    return named


def _is_id_token(claims: Mapping[str, Any]) -> bool:
    return (
        not ID_TOKEN_HASHES.isdisjoint(claims)
        # As Keycloak, and as Cognito and allauth, tell them apart.
        or claims.get("typ") == "ID"
        or claims.get("token_use") == "id"
    )
