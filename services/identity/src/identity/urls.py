"""Which page answers where: what Django serves."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import include, path

from identity.admin import site


def to_the_pages(_request: HttpRequest) -> HttpResponse:
    """Lead whoever comes here without a page in mind to those of the web service."""
    return HttpResponseRedirect(settings.IDENTITY.pages[0])


urlpatterns = [
    path("", to_the_pages),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", site.urls),
    path("", include("identity.people.urls")),
    path("", include("identity.oidc.urls")),
]
handler400 = "identity.errors.bad_request"
handler403 = "identity.errors.forbidden"
handler404 = "identity.errors.not_found"
handler500 = "identity.errors.broken"
