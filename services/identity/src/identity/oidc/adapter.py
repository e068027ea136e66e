"""What allauth's OpenID provider asks of us: who issues, who signs, and what tokens say."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.internal.oauthlib.utils import get_validator_context
from allauth.idp.oidc.models import Client, PrivateKey, Token
from django.conf import settings
from oauthlib.oauth2.rfc6749.errors import InvalidGrantError

from identity.people.models import Person
from identity.people.service.tokens import right_of_client, right_of_person, token_life_s

# What servers call, at whatever address they reached us; browsers know only the public one.
BACK_CHANNEL = ("token_endpoint", "jwks_uri", "revocation_endpoint", "userinfo_endpoint")
OFFERED: dict[str, list[str]] = {
    "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
    "response_types_supported": ["code"],
    "ui_locales_supported": ["ko", "en"],
}


class OidcAdapter(DefaultOIDCAdapter):
    """One issuer, whatever address was asked; claims from who people are now."""

    def get_issuer(self) -> str:
        """Return the public address, which tokens name as their issuer."""
        issuer: str = settings.IDENTITY.issuer
        return issuer

    def get_signing_key(self) -> PrivateKey:
        """The first key; the others are published only."""
        return self.list_private_keys()[0]

    def populate_access_token(
        self,
        access_token: dict[str, Any],
        *,
        client: Client,
        scopes: Iterable[str],
        user: Person | None,
        **kwargs: Any,
    ) -> None:
        """Say what its bearer may do now.

        Raises:
            InvalidGrantError: who has no right any more gets no token, nor whose sign-in was ended meanwhile.
        """
        right = right_of_client(client.id, client.secret) if user is None else right_of_person(user.id)
        if right is None:
            raise InvalidGrantError("This account has no right here.")
        if not self._is_still_signed_in():
            raise InvalidGrantError("This sign-in was ended.")
        issued_at = right.read_at.timestamp()
        access_token |= {
            "aud": settings.IDENTITY.jwt_audience,
            "sub": right.sub,
            "role": right.role,
            "branches": sorted(right.branches),
            # To the microsecond: by it the deny list tells what is from before a right was taken away.
            "iat": issued_at,
            "exp": int(issued_at + token_life_s(right.role)),
        }

    @staticmethod
    def _is_still_signed_in() -> bool:
        """Whether the refresh token that was sent is still there: it was read before the lock."""
        used: Token | None = get_validator_context().refresh_token
        return used is None or Token.objects.filter(pk=used.pk).exists()

    def populate_server_metadata(self, data: dict[str, str | list[str]]) -> None:
        """Tell servers of the address that they asked, and nobody of what is not offered."""
        data.pop("device_authorization_endpoint", None)
        data.update(OFFERED)
        scheme, host = self.request.scope["asked_at"]
        for name in BACK_CHANNEL:
            parts = urlsplit(str(data[name]))
            data[name] = urlunsplit(parts._replace(scheme=scheme, netloc=host))
