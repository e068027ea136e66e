"""An OpenID provider: Authlib speaks to it; here is what its answers mean for a session."""

import asyncio
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import structlog
from authlib.common.errors import AuthlibBaseError
from fastapi import Request
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError

from laundry_service.auth.claims import ALGORITHMS, EARLY_LEEWAY_S
from web.auth.clients import ProviderClient

with warnings.catch_warnings():
    from authlib.deprecate import AuthlibDeprecationWarning

    # It would rather have httpx2 beside the httpx of all services.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from authlib.integrations.starlette_client import OAuth, OAuthError

WAIT_S = 8.0
# What a provider says of itself is read again after so long.
METADATA_S = 3600.0
DEFAULT_LIFE_S = 60.0
# What the errors of OAuth come to; whatever else is refused can be begun again.
OUTCOMES = {
    "access_denied": "declined",
    "consent_required": "declined",
    "invalid_client": "unfit",
    # Our provider's word for an account without a right; else a code that was used, or is too old.
    "invalid_grant": "no-grant",
    "login_required": "declined",
    "temporarily_unavailable": "away",
    "unauthorized_client": "unfit",
}
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the word of the protocol
# Of the keys of its ID tokens, besides the services' own.
SIGNED_WITH = (*ALGORITHMS, "PS256")

log = structlog.get_logger(__name__)


class ProviderAway(Exception):
    """It cannot be asked, or gives no answer that can be used: nobody is signed out for it."""


class GrantEnded(Exception):
    """It no longer takes the refresh token: signed out there, password changed, account closed."""


class NotSignedIn(Exception):
    """A sign-in came to nothing.

    Attributes:
        why: ``refused``, ``declined``, ``no-grant``, ``clock`` or ``unfit``.
    """

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave: for services, for the next time, and for signing out."""

    bearer: str
    life_s: float
    refresh_token: str | None
    id_token: str | None
    name: str | None


class Provider:
    """Signs people in at one provider, keeps their tokens fresh, and signs them out there."""

    def __init__(self, client: ProviderClient) -> None:
        """Take how we are known there. Nothing is fetched yet."""
        self.name = client.name
        self._client = client
        self._rotates = False
        options: dict[str, Any] = {"timeout": WAIT_S, "trust_env": False, "follow_redirects": False}
        self._options = options
        self._app = OAuth().register(
            client.name,
            client_id=client.client_id,
            client_secret=client.client_secret,
            server_metadata_url=client.discovery_url,
            client_kwargs={"scope": client.scopes, "code_challenge_method": "S256"},
        )

    async def sign_in_url(self, request: Request, redirect_uri: str, **extras: str) -> str:
        """Begin a sign-in; state, nonce and code verifier go into ``request.session``.

        Raises:
            ProviderAway: it cannot be asked where to.
        """
        async with self._asking():
            parameters = {**self._client.parameters, **extras, **self._prompts(extras.get("prompt"))}
            redirect = await self._app.authorize_redirect(request, redirect_uri, **parameters)
        return str(redirect.headers["location"])

    def _prompts(self, asked: str | None) -> dict[str, str]:
        """Return how the sign-in page is asked for: what the settings name stays, as tokens may need it."""
        ours = str(self._client.parameters.get("prompt", "")).split()
        if asked is None or not ours:
            return {}
        # Who chooses an account is asked already; Google knows no other way.
        return {"prompt": " ".join(ours if "select_account" in ours else dict.fromkeys([*ours, asked]))}

    async def signed_in(self, request: Request) -> Tokens:
        """Finish the sign-in that ``request.session`` began: fetch the tokens and check the ID token.

        Raises:
            NotSignedIn: with why.
            ProviderAway: it cannot be asked.
        """
        # RFC 9207: with two providers one could hand in what is meant for the other.
        if request.query_params.get("iss", self._client.issuer) != self._client.issuer:
            raise NotSignedIn("refused", "the answer is of another issuer")
        options = {
            "iss": {"essential": True, "value": self._client.issuer},
            "aud": {"essential": True, "value": self._client.client_id},
        }
        try:
            async with self._asking():
                found = await self._app.authorize_access_token(
                    request, claims_options=options, leeway=int(EARLY_LEEWAY_S)
                )
        except AuthlibBaseError as error:
            raise NotSignedIn(OUTCOMES.get(error.error, "refused"), str(error)) from error
        except ExpiredTokenError as error:
            raise NotSignedIn("clock", "the ID token is over already") from error
        except InvalidClaimError as error:
            clock = error.claim in {"iat", "nbf"}
            raise NotSignedIn("clock" if clock else "unfit", f"the ID token: {error}") from error
        except JoseError as error:
            raise NotSignedIn("unfit", f"the ID token: {error}") from error
        if "userinfo" not in found:
            raise NotSignedIn("unfit", "there is no ID token; is openid among the scopes?")
        return self._tokens(found)

    async def refreshed(self, refresh_token: str) -> Tokens:
        """Fetch new tokens.

        Raises:
            GrantEnded: the person has to sign in again.
            ProviderAway: ask again later.
        """
        try:
            async with self._asking():
                found = await self._app.fetch_access_token(
                    # No scopes: those that were granted.
                    grant_type=REFRESH_TOKEN,
                    refresh_token=refresh_token,
                    scope="",
                )
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise GrantEnded(str(error)) from error
            log.error(  # noqa: TRY400 - it says enough
                "the provider refuses this client", provider=self.name, error=str(error)
            )
            raise ProviderAway(str(error)) from error
        tokens = self._tokens(found)
        if tokens.refresh_token not in (None, refresh_token) and not self._rotates:
            self._rotates = True
            log.warning(
                "the provider changes refresh tokens when they are used: with several replicas of this "
                "service, let a load balancer keep each browser with one, or switch it off there",
                provider=self.name,
            )
        return tokens

    async def revoke(self, refresh_token: str) -> None:
        """End the grant there, if that can be done; a failure is logged only."""
        try:
            async with self._asking() as metadata:
                if endpoint := metadata.get("revocation_endpoint"):
                    how = self._authenticates(metadata, "revocation_endpoint_auth_methods_supported")
                    async with AsyncOAuth2Client(
                        self._client.client_id,
                        self._client.client_secret,
                        revocation_endpoint_auth_method=how,
                        **self._options,
                    ) as client:
                        answer = await client.revoke_token(
                            endpoint, token=refresh_token, token_type_hint=REFRESH_TOKEN
                        )
                        answer.raise_for_status()
        except (ProviderAway, OAuthError) as error:
            log.warning("a refresh token was not revoked", provider=self.name, error=str(error))

    async def sign_out_url(self, back: str, id_token: str | None) -> str | None:
        """Return where the browser goes to sign out there (RP-initiated logout), if that can be done."""
        try:
            async with self._asking() as metadata:
                if "end_session_endpoint" not in metadata:
                    return None
                made = await self._app.create_logout_url(
                    post_logout_redirect_uri=back, id_token_hint=id_token, client_id=self._client.client_id
                )
        except ProviderAway:
            return None
        return str(made["url"])

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[dict[str, Any]]:
        """Give what the provider says of itself; no trouble with it leaves here but as ProviderAway."""
        try:
            async with asyncio.timeout(WAIT_S):
                yield await self._metadata()
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError) as error:
            log.warning("the provider is away", provider=self.name, error=f"{type(error).__name__}: {error}")
            raise ProviderAway(f"{type(error).__name__}: {error}") from error

    async def _metadata(self) -> dict[str, Any]:
        app = self._app
        if "verify" not in self._options:
            # Loading the CA bundle blocks the event loop for noticeably long.
            https = self._client.discovery_url.startswith("https:")
            self._options["verify"] = await asyncio.to_thread(ssl.create_default_context) if https else False
        app.client_kwargs |= self._options
        if time.time() - app.server_metadata.get("_loaded_at", 0) > METADATA_S:
            app.server_metadata.pop("_loaded_at", None)
            app.server_metadata.pop("jwks", None)
        metadata: dict[str, Any] = await app.load_server_metadata()
        if metadata.get("issuer") != self._client.issuer:
            app.server_metadata.pop("_loaded_at", None)
            raise ValueError(f"it calls itself {metadata.get('issuer')!r}, not {self._client.issuer!r}")
        signed = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [each for each in signed if each in SIGNED_WITH]
        how = self._authenticates(metadata, "token_endpoint_auth_methods_supported")
        app.client_kwargs["token_endpoint_auth_method"] = how
        return metadata

    def _authenticates(self, metadata: dict[str, Any], supported: str) -> str:
        if self._client.client_secret is None:
            return "none"
        methods = metadata.get(supported) or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"

    def _tokens(self, found: dict[str, Any]) -> Tokens:
        bearer = found.get(self._client.bearer)
        if not isinstance(bearer, str):
            raise ProviderAway(f"it gave no {self._client.bearer}")
        id_token = found.get("id_token")
        about = found.get("userinfo") or _unverified(id_token)
        name = (
            about.get("name")
            or about.get("nickname")
            or about.get("preferred_username")
            or about.get("email")
        )
        return Tokens(
            bearer=bearer,
            life_s=self._life(found, bearer),
            refresh_token=found.get("refresh_token"),
            id_token=id_token,
            name=str(name)[:100] if name else None,
        )

    def _life(self, found: dict[str, Any], bearer: str) -> float:
        """How long it is good for, by the provider's clock alone."""
        said = found.get("expires_in")
        if self._client.bearer == "access_token" and isinstance(said, (int, float, str)):
            return float(said)
        claims = _unverified(bearer)
        try:
            return float(claims["exp"]) - float(claims["iat"])
        except (KeyError, TypeError, ValueError):
            return DEFAULT_LIFE_S


def _unverified(token: Any) -> dict[str, Any]:
    """Read what a token that came from the provider itself says; whether it is good is checked elsewhere."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        return {}
    return claims
