"""``/people``: who works where, their right taken away, and the audit of all of it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from identity.people import repository
from identity.people.api.asked import Manager, Operator, do
from identity.people.models import Person
from identity.people.rights import Actor, Refused, WorkRole
from identity.people.schemas import Cursor, Limit, PeoplePage, PersonOut, Search, Sub
from identity.people.service.acting import acting
from identity.people.service.people import take_away
from laundry_events.events import BranchId
from laundry_service.audit.http import AuditPage, Concerns, Reason
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import MAX_INTEGER, page_of, position, write_cursor


def people_router() -> APIRouter:
    """Make the endpoints that list and remove people."""
    router = APIRouter(prefix="/people", tags=["people"])

    def page(principal: Principal, branch_id: str | None, **query: Any) -> tuple[Actor, list[Person]]:
        actor = acting(principal)
        return actor, repository.people(_seen(actor, branch_id), **query)

    @router.get("")
    async def list_people(  # noqa: PLR0917 - parameters of a query
        principal: Manager,
        branch_id: Annotated[BranchId | None, Query(description="Only who works there")] = None,
        role: WorkRole | None = None,
        q: Search = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> PeoplePage:
        """List who works where, by name: an operator sees all, an owner those of their own branches."""
        after = position(cursor, str, UUID)
        actor, found = await do(page, principal, branch_id, role=role, search=q, after=after, limit=limit + 1)
        shown, last = page_of(found, limit)
        seen = None if actor.is_operator else actor.right.branches
        return PeoplePage(
            items=[PersonOut.of(each, seen) for each in shown],
            next_cursor=None if last is None else write_cursor(last.name, last.id),
        )

    @router.get("/audit")
    async def list_audit(
        _: Operator,
        object: Concerns = None,  # noqa: A002 - its name in the query
        limit: Limit = 50,
        cursor: Annotated[int | None, Query(ge=0, le=MAX_INTEGER)] = None,
    ) -> AuditPage:
        """Read who invited and removed whom, when and why, newest first."""
        rows = await do(repository.audit, before=cursor, object=object, limit=limit + 1)
        shown, last = page_of(rows, limit)
        return AuditPage(items=[record for _, record in shown], next_cursor=None if last is None else last[0])

    @router.delete("/{sub}", status_code=204)
    async def remove_person(
        principal: Manager,
        sub: Sub,
        branch_id: Annotated[
            list[BranchId] | None, Query(description="Only in these; else wherever you can", max_length=200)
        ] = None,
        reason: Reason = None,
    ) -> None:
        """Take a person's right away. What they have open ends at once, their last token within minutes."""
        branches = None if branch_id is None else frozenset(branch_id)
        await do(take_away, principal, sub, branches, reason)

    return router


def _seen(actor: Actor, branch_id: str | None) -> frozenset[str] | None:
    """Return the branches whose people are asked for, None for all. Raises Refused."""
    if branch_id is not None and not actor.sees(branch_id):
        raise Refused("branch-forbidden", f"The branch {branch_id!r} is not one of yours.")
    if branch_id is not None:
        return frozenset({branch_id})
    return None if actor.is_operator else actor.right.branches
