"""Which page answers where: what Django serves."""

from django.conf import settings
from django.urls import include, path
from django.views.generic import RedirectView

from identity.admin import site

urlpatterns = [
    path("", RedirectView.as_view(url=settings.IDENTITY.pages[0])),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", site.urls),
    path("", include("identity.people.urls")),
    path("", include("identity.oidc.urls")),
]
handler400 = "identity.errors.bad_request"
handler403 = "identity.errors.forbidden"
handler404 = "identity.errors.not_found"
handler500 = "identity.errors.broken"
