"""The provider's addresses: those of allauth, without what is not offered here."""

from typing import NoReturn

from allauth.account.internal.decorators import login_not_required
from django.http import Http404, HttpRequest
from django.urls import include, path

from identity.oidc.endpoints import Authorize, SignOut, Tokens


@login_not_required
def not_offered(_: HttpRequest) -> NoReturn:
    """Answer 404 where allauth would offer what nobody needs: less to attack."""
    raise Http404


urlpatterns = [
    path("identity/o/authorize", Authorize.as_view()),
    path("identity/o/logout", SignOut.as_view()),
    path("identity/o/api/token", Tokens.as_view()),
    path("identity/o/device", not_offered),
    path("identity/o/api/device/code", not_offered),
    # An address is changed by who invites, which is in the audit.
    path("accounts/email/", not_offered),
    path("accounts/", include("allauth.account.urls")),
    path("", include("allauth.idp.urls")),
]
