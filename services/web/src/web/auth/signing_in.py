"""What requests have to do with sign-in: the cookies, whose session a request is, and may it use it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from fastapi import Request
from fastapi.responses import Response

from laundry_service.auth.authenticator import Authenticator
from laundry_service.http.problems import Problem
from web.auth.clients import clients_of
from web.auth.origin import SAFE, by_these_pages
from web.auth.provider import Provider
from web.auth.sealing import Sealer, TooLarge
from web.auth.sessions import MISSING, Kept, Live, Sessions, SignedOut
from web.auth.settings import SignInSettings

SESSION, SIGN_IN = "session", "sign-in"
SIGN_IN_S = 600.0
# A cookie is renewed once a day: an answer that is late must not bring back who has signed out.
RENEWED_AFTER_S = 86400.0
# What the pages say of whom they show; another tab may have signed in somebody else meanwhile.
SIGNED_IN_AS = "x-signed-in-as"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in on its way, as its cookie holds it."""

    provider: str
    next_path: str
    state: dict[str, Any]

    def is_answered_by(self, state: str | None) -> bool:
        """Whether an answer of the provider bears the state of this sign-in, as Authlib keeps it."""
        return f"_state_{self.provider}_{state}" in self.state


class SigningIn:
    """The cookies and sessions of this service, or of one where nobody can sign in."""

    def __init__(self, settings: SignInSettings, authenticator: Authenticator | None) -> None:
        """Take the settings, and what checks tokens as the services do (none where nobody signs in).

        Raises:
            ValueError: for session keys that are too short, or a public address that is none.
        """
        self.providers = {client.name: Provider(client) for client in clients_of(settings)}
        self.authenticator = authenticator
        self.origin = _origin(settings.public_url) if settings.public_url else ""
        self._secure = self.origin.startswith("https:")
        self._max_age_s = settings.session_days * 86400
        self._sealer: Sealer | None = None
        self._sessions: Sessions | None = None
        if authenticator is not None and settings.session_keys is not None:
            self._sealer = Sealer(settings.session_keys.get_secret_value())
            self._sessions = Sessions(self.providers, authenticator)

    @property
    def sessions(self) -> Sessions:
        """The sessions. Raises SignedOut where nobody can sign in."""
        if self._sessions is None:
            raise SignedOut(*MISSING)
        return self._sessions

    # Cookies

    def name_of(self, purpose: str) -> str:
        """Name a cookie; the prefix makes browsers refuse what a sibling domain or plain HTTP would set."""
        name = "laundry" if purpose == SESSION else "laundry-sign-in"
        return f"__Host-{name}" if self._secure else name

    def kept(self, request: Request) -> Kept | None:
        """Return the session that a request's cookie holds, if it is by us and not too old."""
        content = self._opened(request, SESSION, self._max_age_s)
        return Kept.of(content) if content else None

    def keep(self, response: Response, kept: Kept) -> None:
        """Give the browser a session's cookie. Raises TooLarge."""
        if self._sealer is not None:
            sealed = self._sealer.seal(SESSION, kept.content())
            # Strict: who comes by a link of another site gets the page, which asks who is signed in.
            self._set(response, SESSION, sealed, self._max_age_s, same_site="strict")

    def renew(self, request: Request, response: Response, kept: Kept, live: Live) -> None:
        """Renew the cookie where it is old, or the provider has changed the refresh token."""
        sealed = request.cookies.get(self.name_of(SESSION), "")
        changed = live.kept.refresh_token != kept.refresh_token
        if self._sealer is None or not (changed or self._sealer.is_stale(sealed, after_s=RENEWED_AFTER_S)):
            return
        if self.sessions.has_ended(kept):
            # A late answer must not put who has signed out in the place of who came next.
            return
        try:
            self.keep(response, live.kept)
        except TooLarge as error:
            # What was asked for is done, and the cookie from before leads to the same session.
            log.warning("a session's cookie is not renewed", error=str(error), provider=kept.provider)

    def forget(self, response: Response, purpose: str = SESSION) -> None:
        """Let the browser drop a cookie."""
        same_site = "strict" if purpose == SESSION else "lax"
        self._set(response, purpose, "", 0, same_site=same_site)

    def begun(self, request: Request) -> SignIn | None:
        """Return the sign-in that a request's cookie holds, if it began less than ten minutes ago."""
        content = self._opened(request, SIGN_IN, SIGN_IN_S)
        return SignIn(content["p"], content["n"], content["s"]) if content else None

    def begin(self, response: Response, sign_in: SignIn) -> None:
        """Give the browser the cookie of a sign-in, in place of one that was begun before."""
        assert self._sealer is not None
        content = {"p": sign_in.provider, "n": sign_in.next_path, "s": sign_in.state}
        # Lax: the answer comes as a navigation from the provider's site.
        self._set(response, SIGN_IN, self._sealer.seal(SIGN_IN, content), SIGN_IN_S, same_site="lax")

    def _opened(self, request: Request, purpose: str, max_age_s: float) -> dict[str, Any] | None:
        if self._sealer is None:
            return None
        return self._sealer.open(purpose, request.cookies.get(self.name_of(purpose)), max_age_s=max_age_s)

    def _set(self, response: Response, purpose: str, value: str, max_age_s: float, *, same_site: str) -> None:
        parts = [f"{self.name_of(purpose)}={value}", "Path=/", "HttpOnly", f"SameSite={same_site.title()}"]
        parts += [f"Max-Age={int(max_age_s)}", *(["Secure"] if self._secure else [])]
        response.headers.append("Set-Cookie", "; ".join(parts))

    # Whose request it is

    def is_here(self, request: Request) -> bool:
        """Whether a browser came by the public address; a proxy may hide that, and then it is not known."""
        return request.headers.get("host") == urlsplit(self.origin).netloc

    def check_origin(self, request: Request) -> None:
        """Refuse what another site, or another port of this host, made a browser send.

        Raises:
            Problem: 403.
        """
        if not by_these_pages(request.headers, self.origin):
            raise Problem(
                403,
                "cross-origin",
                "This request does not come from these pages, so the sign-in of this browser does not count "
                "for it. Programs send a token instead: Authorization: Bearer <JWT>.",
            )

    async def caller(self, request: Request, *, stream: bool = False) -> tuple[Kept, Live] | None:
        """Return the session that a request is made with; none for one that brings a token, or nothing.

        Raises:
            Problem: 401 for a session that is over or somebody else's, 403 for a request from elsewhere,
                503 while the provider is away.
        """
        if "authorization" in request.headers or (kept := self.kept(request)) is None:
            return None
        if request.method not in SAFE:
            self.check_origin(request)
        expected = request.headers.get(SIGNED_IN_AS)
        if expected is not None and unquote(expected) != kept.sub:
            raise SignedOut("session-changed", "Somebody else has signed in here meanwhile.")
        return kept, await self.sessions.live(kept, stream=stream)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError(
            "LAUNDRY_PUBLIC_URL is the scheme, the host and the port alone: https://laundry.example"
        )
    return f"{parts.scheme}://{parts.netloc}"
