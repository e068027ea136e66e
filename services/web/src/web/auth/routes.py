"""``/auth``: sign in at the provider, come back, say who is signed in, and sign out."""

from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from prometheus_client import Counter

from laundry_service.auth.claims import NO_ROLE
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem, problem_response
from web.auth.addresses import path_within, start_page
from web.auth.provider import NotSignedIn, Provider, ProviderAway
from web.auth.sealing import TooLarge
from web.auth.sessions import MISSING, SignedOut
from web.auth.signing_in import SESSION, SIGN_IN, SignIn, SigningIn

SIGN_INS = Counter("laundry_web_sign_ins_total", "Sign-ins that came back from a provider", ["outcome"])
CALLBACK = "/auth/callback"
# How the sign-in page is asked for: prompts of OpenID Connect Core §3.1.2.1 that a link of ours may name.
PROMPTS = {"login"}
# With these a cookie will never be of use again.
GOOD_FOR_NOTHING = {"session-missing", "session-ended"}

log = structlog.get_logger(__name__)


def router(signing_in: SigningIn) -> APIRouter:
    """Make the routes of sign-in."""
    routes = APIRouter(prefix="/auth", include_in_schema=False)
    ways = _Ways(signing_in)
    routes.get("/sign-in")(ways.sign_in)
    routes.get("/callback")(ways.callback)
    routes.get("/session")(ways.session)
    routes.post("/sign-out")(ways.sign_out)
    return routes


class _Ways:
    def __init__(self, signing_in: SigningIn) -> None:
        self._in = signing_in

    async def sign_in(
        self,
        request: Request,
        *,
        next: str | None = None,  # noqa: A002 - the name in the address
        provider: str | None = None,
        prompt: str | None = None,
        lang: str | None = None,
        moved: str | None = None,
    ) -> Response:
        """Send a person to the provider, and back to ``next`` afterwards."""
        chosen = self._provider(provider)
        if moved is None and not self._in.is_here(request):
            # The provider leads back to the public address, whose cookies this one would not have.
            query = request.url.include_query_params(moved="1").query
            return RedirectResponse(f"{self._in.origin}/auth/sign-in?{query}", 303)
        extras = {"prompt": prompt} if prompt in PROMPTS else {}
        if lang in {"ko", "en"}:
            extras["ui_locales"] = str(lang)
        request.scope["session"] = {}
        try:
            address = await chosen.sign_in_url(request, self._in.origin + CALLBACK, **extras)
        except ProviderAway:
            return self._back("away", over=False)
        response = RedirectResponse(address, 303)
        self._in.begin(response, SignIn(chosen.name, path_within(next), request.session))
        return response

    async def callback(self, request: Request) -> Response:
        """Take what the provider sends a person back with."""
        begun = self._in.begun(request)
        if begun is None or begun.provider not in self._in.providers:
            return self._back("refused", "no sign-in was begun here, or it took too long")
        provider = self._in.providers[begun.provider]
        # An old tab's answer ends nothing but itself: the cookie is of the newer sign-in, which goes on.
        over = begun.is_answered_by(request.query_params.get("state"))
        request.scope["session"] = begun.state
        try:
            tokens = await provider.signed_in(request)
            live = await self._in.sessions.begin(provider, tokens)
            response = RedirectResponse(self._in.origin + begun.next_path, 303)
            self._in.keep(response, live.kept)
        except NotSignedIn as error:
            return self._back(error.why, str(error), over=over)
        except ProviderAway as error:
            return self._back("away", str(error), over=over)
        except TooLarge as error:
            return self._back("unfit", f"the refresh token: {error}", over=over)
        except Problem as problem:
            return self._back(_why(problem), problem.detail, over=over)
        self._in.forget(response, SIGN_IN)
        SIGN_INS.labels("signed in").inc()
        return response

    async def session(self, request: Request) -> Response:
        """Say who is signed in, as the services see it now: ``sub``, ``role``, ``branches`` and ``name``."""
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self._in.authenticator is not None:
            return JSONResponse(_said(await self._in.authenticator.check(bearer[7:]), None))
        try:
            found = await self._in.caller(request)
        except SignedOut as problem:
            return self._nobody(request, problem)
        if found is None:
            return self._nobody(request, SignedOut(*MISSING))
        kept, live = found
        response = JSONResponse(_said(live.principal, live.kept.name))
        self._in.renew(request, response, kept, live)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session here and at the provider; ``location`` is where the browser goes for that."""
        self._in.check_origin(request)
        location = None
        if (kept := self._in.kept(request)) is not None:
            id_token = await self._in.sessions.end(kept)
            if (provider := self._in.providers.get(kept.provider)) is not None:
                location = await provider.sign_out_url(f"{self._in.origin}/", id_token)
        response = JSONResponse({"location": location})
        self._in.forget(response)
        return response

    def _nobody(self, request: Request, problem: SignedOut) -> Response:
        problem.extra["providers"] = list(self._in.providers)
        response = problem_response(problem, request.url.path)
        if problem.code in GOOD_FOR_NOTHING and self._in.name_of(SESSION) in request.cookies:
            self._in.forget(response)
        return response

    def _provider(self, name: str | None) -> Provider:
        known = self._in.providers
        if not known:
            raise Problem(404, "no-sign-in", "No provider is configured here, so nobody can sign in.")
        chosen = known.get(name) if name else next(iter(known.values()))
        if chosen is None:
            raise Problem(404, "no-provider", f"There is no provider {str(name)[:40]!r} here.")
        return chosen

    def _back(self, why: str, detail: str | None = None, *, over: bool = True) -> Response:
        """Send a person to the start page, which says in a sentence what happened.

        Args:
            over: whether the sign-in that the cookie holds is the one that came to nothing.
        """
        SIGN_INS.labels(why).inc()
        if detail is not None:
            log.info("a sign-in came to nothing", why=why, detail=detail)
        response = RedirectResponse(self._in.origin + start_page(why), 303)
        if over:
            self._in.forget(response, SIGN_IN)
        return response


def _why(problem: Problem) -> str:
    if problem.code == NO_ROLE:
        return "no-role"
    if problem.code == "token-denied":
        return "denied"
    if problem.code == "token-expired" or "clock" in problem.detail:
        return "clock"
    return "away" if problem.status == 503 else "unfit"


def _said(principal: Principal, name: str | None) -> dict[str, Any]:
    return {
        "sub": principal.sub,
        "role": principal.role,
        "branches": sorted(principal.branches),
        "name": name or principal.sub,
    }
