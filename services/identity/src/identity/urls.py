"""Which page answers where: what Django serves."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.account.urls")),
    path("", include("identity.people.urls")),
    path("", include("allauth.idp.urls")),
]
