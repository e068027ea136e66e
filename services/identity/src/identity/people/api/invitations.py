"""``/invitations``: made, listed and withdrawn. They are accepted on a page, by who has the link."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import APIRouter

from identity.people import repository
from identity.people.api.asked import Manager, do
from identity.people.models import Invitation
from identity.people.schemas import Cursor, InvitationIn, InvitationOut, InvitationPage, Limit, NewInvitation
from identity.people.service.acting import acting
from identity.people.service.invitations import invite, withdraw
from laundry_service.audit.http import Reason
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import page_of, position, write_cursor


def invitations_router(link_of: Callable[[str], str]) -> APIRouter:
    """Make the endpoints; ``link_of`` makes the link of an invitation's token."""
    router = APIRouter(prefix="/invitations", tags=["invitations"])

    def page(principal: Principal, after: tuple[datetime, UUID] | None, limit: int) -> list[Invitation]:
        actor = acting(principal)
        own = None if actor.is_operator else actor.right.branches
        return repository.open_invitations(own, now=repository.clock(), after=after, limit=limit)

    @router.get("")
    async def list_invitations(
        principal: Manager, limit: Limit = 50, cursor: Cursor = None
    ) -> InvitationPage:
        """List invitations that are open: an operator sees all, an owner those into their own branches."""
        after = position(cursor, datetime, UUID)
        found = await do(page, principal, None if after is None else (after[0], after[1]), limit + 1)
        shown, last = page_of(found, limit)
        return InvitationPage(
            items=[InvitationOut.of(each) for each in shown],
            next_cursor=None if last is None else write_cursor(last.created_at, last.id),
        )

    @router.post("", status_code=201)
    async def create_invitation(asked: InvitationIn, principal: Manager) -> NewInvitation:
        """Invite somebody. The answer has the link and its QR code; they are shown this once."""
        valid = timedelta(hours=asked.valid_hours)
        made, token = await do(invite, principal, asked.right, note=asked.note.strip(), valid=valid)
        return NewInvitation.with_link(made, link_of(token))

    @router.delete("/{invitation_id}", status_code=204)
    async def withdraw_invitation(principal: Manager, invitation_id: UUID, reason: Reason = None) -> None:
        """Withdraw an invitation: its link does nothing from now on."""
        await do(withdraw, principal, invitation_id, reason)

    return router
