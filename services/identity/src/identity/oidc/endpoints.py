"""The provider's endpoints where they differ from allauth's."""

import json
from http import HTTPStatus
from typing import Any

from allauth.idp.oidc.forms import RPInitiatedLogoutForm
from allauth.idp.oidc.internal.oauthlib.utils import respond_html_error
from allauth.idp.oidc.models import Client
from allauth.idp.oidc.views import AuthorizationView, LogoutView, TokenView
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from oauthlib.oauth2.rfc6749.errors import InvalidRequestError

LANGUAGE_COOKIE_S = 365 * 24 * 3600


def _with_status(answer: HttpResponse) -> HttpResponse:
    """Answer 400 with an error: allauth shows its page with 200. What it asks on is a template's answer."""
    if type(answer) is HttpResponse and answer.status_code == HTTPStatus.OK:
        answer.status_code = HTTPStatus.BAD_REQUEST
    return answer


class Authorize(AuthorizationView):
    """Asks every client for PKCE (allauth: public ones only), and takes the language of the page before.

    With ``prompt=login`` anybody may sign in, whoever has signed in here before.
    """

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Begin, or go on after the sign-in."""
        if not request.GET.get("code_challenge"):
            error = InvalidRequestError("code_challenge is missing (PKCE)")
            return _with_status(respond_html_error(request, error=error))
        if "login" in request.GET.get("prompt", "").split() and request.user.is_authenticated:
            # Whoever is asked anew may be somebody else: allauth asks for the password of the one before.
            logout(request)
        answer = _with_status(super().get(request, *args, **kwargs))
        for wanted in request.GET.get("ui_locales", "").split():
            language = wanted.partition("-")[0].lower()
            if language in dict(settings.LANGUAGES):
                answer.set_cookie(
                    settings.LANGUAGE_COOKIE_NAME,
                    language,
                    max_age=LANGUAGE_COOKIE_S,
                    secure=settings.SESSION_COOKIE_SECURE,
                    httponly=True,
                    samesite="Lax",
                )
                break
        return answer


class Tokens(TokenView):
    """Tells machines, whose tokens live longer, when theirs end."""

    def _create_token_response(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super()._create_token_response(request, **kwargs)
        by_machine = request.POST.get("grant_type") == Client.GrantType.CLIENT_CREDENTIALS
        if not by_machine or answer.status_code != HTTPStatus.OK:
            return answer
        told = {**json.loads(answer.content), "expires_in": settings.IDENTITY.device_token_s}
        return HttpResponse(json.dumps(told), headers=dict(answer.items()))


class SignOut(LogoutView):
    """Ends the sign-in of this browser; allauth's would end those on all other phones of the person, too."""

    def form_invalid(self, form: RPInitiatedLogoutForm) -> HttpResponse:
        """Refuse to lead elsewhere."""
        return _with_status(super().form_invalid(form))

    def _handle(self, form: RPInitiatedLogoutForm, op_logout: bool) -> HttpResponse:
        form.cleaned_data["client"] = None
        answer: HttpResponse = super()._handle(form, op_logout)
        return answer
