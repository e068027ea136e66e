"""Access tokens of those who are signed in, kept in this process and refreshed in one flight each.

A cookie holds the refresh token; what is here can be made again from it, in any replica, at any time.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.claims import NO_ROLE
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from web.auth.provider import GrantEnded, Provider, ProviderAway, Tokens

# Refreshed so long before its end, because a request is on its way for a while.
MARGIN_S = 30.0
# A stream gets a token with this share of its life left, or a new one: it ends with the token.
STREAM_SHARE = 0.5
# While a provider is away it is asked once in so long, for everybody together.
PAUSE_S = 2.0
# A service that refuses a token younger than this will refuse the next one, too.
YOUNG_S = 5.0
DENIED_S = 1.5
# How long a sign-out waits for an ID token: the page waits ten seconds for all of it.
LAST_S = 1.5
CAPACITY = 20_000

log = structlog.get_logger(__name__)


MISSING = ("session-missing", "Nobody is signed in here. Sign in.")
ENDED = (
    "session-ended",
    "This sign-in was ended: signed out elsewhere, the password was changed, or access was taken away.",
)


class SignedOut(Problem):
    """The session is no more (``session-missing``, ``-ended``, ``-denied``, ``-changed``, ``-no-role``)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(401, code, detail)


def away(detail: str = "The sign-in service cannot be reached. Try again shortly.") -> Problem:
    """Refuse for now, without signing anybody out."""
    return Problem(503, "identity-unavailable", detail, headers={"Retry-After": "2"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What a session's cookie holds."""

    provider: str
    refresh_token: str = field(repr=False)
    sub: str
    name: str | None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Kept":
        """Read it from an opened cookie."""
        return cls(content["p"], content["r"], content["s"], content.get("n"))

    def content(self) -> dict[str, Any]:
        """Return what is sealed into the cookie."""
        return {"p": self.provider, "r": self.refresh_token, "s": self.sub, "n": self.name}


@dataclass(slots=True)
class Live:
    """A session that this process has a token for."""

    kept: Kept
    tokens: Tokens = field(repr=False)
    principal: Principal
    begun: float
    """When the token was got, on the monotonic clock."""

    @property
    def left_s(self) -> float:
        """How long the token is good for."""
        return self.begun + self.tokens.life_s - time.monotonic()

    def ready(self, *, stream: bool) -> bool:
        """Whether the token is good for long enough."""
        return self.left_s > max(MARGIN_S, self.tokens.life_s * STREAM_SHARE if stream else 0.0) or (
            # Of tokens that live hardly longer, until their last seconds.
            self.tokens.life_s <= 2 * MARGIN_S and self.left_s > self.tokens.life_s * STREAM_SHARE
        )


@dataclass(slots=True)
class _Entry:
    """One session. A provider that changes refresh tokens makes several cookies lead to it."""

    live: Live | None = None
    flight: "asyncio.Task[Live] | None" = None
    ended: tuple[str, str] | None = None
    """The code and the detail of why."""


class Sessions:
    """Gives the token of a cookie's session, from memory or from the provider."""

    def __init__(self, providers: Mapping[str, Provider], authenticator: Authenticator) -> None:
        """Take the providers by name, and what checks tokens as the services do."""
        self._providers = providers
        self._authenticator = authenticator
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._away_until: dict[str, float] = {}

    async def begin(self, provider: Provider, tokens: Tokens) -> Live:
        """Take up the session of who has just signed in.

        Raises:
            Problem: 401 for tokens that the services would not take (``role-missing`` and others), 503.
        """
        principal = await self._authenticator.check(tokens.bearer)
        if not tokens.refresh_token:
            raise Problem(502, "sign-in-unfit", "The provider gave no refresh token (offline_access).")
        live = Live(
            Kept(provider.name, tokens.refresh_token, principal.sub, tokens.name),
            tokens,
            principal,
            time.monotonic(),
        )
        self._keep(_Entry(live=live), tokens.refresh_token)
        return live

    async def live(self, kept: Kept, *, stream: bool = False) -> Live:
        """Return the session with a token that is good now, refreshed if it is not.

        Args:
            stream: whether the token is for an event stream, which ends with it.

        Raises:
            SignedOut: 401, whoever it was has to sign in again, or has no role any more.
            Problem: 503 while the provider cannot be asked; the session stays.
        """
        entry = self._entry(kept)
        if entry.ended is not None:
            raise SignedOut(*entry.ended)
        live = entry.live
        if live and live.ready(stream=stream) and self._authenticator.allows(live.principal):
            return live
        if entry.flight is None:
            entry.flight = asyncio.create_task(self._refreshed(entry, kept), name="refresh")
            entry.flight.add_done_callback(lambda flight: _landed(entry, flight))
        try:
            # Whoever asked first may leave: others wait for the same answer.
            return await asyncio.shield(entry.flight)
        except Problem as problem:
            usable = live and live.left_s > 0 and self._authenticator.allows(live.principal)
            if problem.status == 503 and live and usable:
                return live
            raise

    def doubt(self, live: Live) -> None:
        """Get a new token next time: a service has refused this one."""
        if time.monotonic() - live.begun > YOUNG_S:
            live.begun = -math.inf

    async def end(self, kept: Kept) -> str | None:
        """Forget a session and revoke its grant; returns the ID token to sign out with there, if any."""
        entry = self._entry(kept)
        live, ended_before = entry.live, entry.ended is not None
        entry.live, entry.ended = None, MISSING
        if (provider := self._providers.get(kept.provider)) is None:
            return None
        tokens = live.tokens if live else None
        if tokens is None and not ended_before:
            tokens = await self._last(provider, kept.refresh_token)
        newest = live.kept.refresh_token if live else tokens and tokens.refresh_token
        await provider.revoke(newest or kept.refresh_token)
        return tokens.id_token if tokens else None

    def has_ended(self, kept: Kept) -> bool:
        """Whether a session is known to be over."""
        entry = self._entries.get(_key(kept.refresh_token))
        return entry is not None and entry.ended is not None

    async def _last(self, provider: Provider, refresh_token: str) -> Tokens | None:
        """Fetch tokens in a replica that has none: without an ID token the provider asks a question."""
        if time.monotonic() < self._away_until.get(provider.name, 0):
            return None
        try:
            async with asyncio.timeout(LAST_S):
                return await provider.refreshed(refresh_token)
        except (GrantEnded, ProviderAway, TimeoutError):
            return None

    async def _refreshed(self, entry: _Entry, kept: Kept) -> Live:
        provider = self._providers.get(kept.provider)
        if provider is None:
            raise SignedOut(*MISSING)
        if time.monotonic() < self._away_until.get(provider.name, 0):
            raise away()
        token = entry.live.kept.refresh_token if entry.live else kept.refresh_token
        for patience_s in (DENIED_S, 0.0):
            tokens = await self._fetched(entry, provider, token)
            token = tokens.refresh_token or token
            try:
                principal = await self._authenticator.check(tokens.bearer)
                break
            except Problem as problem:
                if problem.code != "token-denied" or not patience_s:
                    raise _translated(problem) from problem
                # Tokens from before a change of rights are denied, to the second: the next is of after it.
                await asyncio.sleep(patience_s)
        if principal.sub != kept.sub:
            # OpenID Connect Core §12.2: it must be the same person.
            log.error("a provider refreshed a session into another person's", provider=provider.name)
            entry.ended = MISSING
            raise SignedOut(*MISSING)
        if tokens.id_token is None and entry.live is not None:
            # Not every provider gives another one; the first is as good to sign out with.
            tokens = replace(tokens, id_token=entry.live.tokens.id_token)
        entry.live = Live(
            Kept(provider.name, token, kept.sub, tokens.name or kept.name),
            tokens,
            principal,
            time.monotonic(),
        )
        self._keep(entry, token)
        return entry.live

    async def _fetched(self, entry: _Entry, provider: Provider, refresh_token: str) -> Tokens:
        try:
            return await provider.refreshed(refresh_token)
        except GrantEnded as error:
            entry.ended = ENDED
            raise SignedOut(*ENDED) from error
        except ProviderAway as error:
            self._away_until[provider.name] = time.monotonic() + PAUSE_S
            raise away() from error

    def _entry(self, kept: Kept) -> _Entry:
        key = _key(kept.refresh_token)
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        return self._keep(_Entry(), kept.refresh_token)

    def _keep(self, entry: _Entry, refresh_token: str) -> _Entry:
        key = _key(refresh_token)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > CAPACITY:
            self._entries.popitem(last=False)
        return entry


def _translated(problem: Problem) -> Problem:
    """Say of a token just got what it means for the session."""
    if problem.code == NO_ROLE:
        return SignedOut("session-no-role", problem.detail)
    if problem.code == "token-denied":
        return SignedOut("session-denied", problem.detail)
    if problem.status == 401:
        # The provider's fault (its clock, its settings), not of whoever is signed in.
        log.error("the provider's tokens are refused", code=problem.code, why=problem.detail)
        return away(f"The sign-in service gives tokens that are not taken: {problem.detail}")
    return problem


def _key(refresh_token: str) -> bytes:
    # Not the token itself, so that it is in memory as seldom as can be.
    return hashlib.sha256(refresh_token.encode()).digest()


def _landed(entry: _Entry, flight: "asyncio.Task[Live]") -> None:
    if entry.flight is flight:
        entry.flight = None
    if not flight.cancelled():
        # It may be that nobody waits any more.
        flight.exception()
