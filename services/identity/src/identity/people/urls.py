"""Pages about people that browsers open here: what Django serves."""

from django.urls import URLPattern, URLResolver, path

from identity.people.invitation_page import show_invitation

urlpatterns: list[URLPattern | URLResolver] = [
    path("invitation/<str:token>", show_invitation, name="invitation"),
]
