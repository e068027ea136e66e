"""All endpoints about people."""

from django.urls import reverse
from fastapi import APIRouter

from identity.people.api.branches import branches_router
from identity.people.api.deny_list import deny_list_router
from identity.people.api.equipment import equipment_router
from identity.people.api.invitations import invitations_router
from identity.people.api.people import people_router


def people_routers(issuer: str) -> list[APIRouter]:
    """Make them; links lead to the issuer's own address, where browsers reach the pages of Django."""

    def link_of(token: str) -> str:
        return issuer + reverse("invitation", args=[token])

    return [
        branches_router(),
        people_router(),
        invitations_router(link_of),
        equipment_router(issuer + reverse("idp:oidc:token")),
        deny_list_router(),
    ]
