"""The HTTP endpoints below ``/branches``."""

from fastapi import APIRouter, Response

from identity.people import repository
from identity.people.api.asked import Colleague, Operator, do
from identity.people.models import Branch
from identity.people.schemas import (
    BranchIn,
    BranchNames,
    BranchOut,
    BranchPage,
    BranchPath,
    Cursor,
    Limit,
    Search,
)
from identity.people.service.acting import acting
from identity.people.service.branches import make_branch, rename_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import page_of, position, write_cursor


def branches_router() -> APIRouter:
    """Make the endpoints that list, add and rename branches."""
    router = APIRouter(prefix="/branches", tags=["branches"])

    def page(principal: Principal, search: str | None, after: str | None, limit: int) -> list[Branch]:
        actor = acting(principal)
        only = None if actor.is_operator else actor.right.branches
        return repository.branches(only, after=after, search=search, limit=limit)

    @router.get("")
    async def list_branches(
        principal: Colleague, q: Search = None, limit: Limit = 50, cursor: Cursor = None
    ) -> BranchPage:
        """List the branches with their names: an operator all, others their own."""
        (after,) = position(cursor, str) or (None,)
        found = await do(page, principal, q, after, limit + 1)
        shown, last = page_of(found, limit)
        return BranchPage(
            items=[BranchOut.of(each) for each in shown],
            next_cursor=None if last is None else write_cursor(last.id),
        )

    @router.post("", status_code=201)
    async def create_branch(asked: BranchIn, operator: Operator, response: Response) -> BranchOut:
        """Add a branch to the chain."""
        made = await do(make_branch, operator, asked.id, asked.name_ko, asked.name_en)
        response.headers["Location"] = f"/branches/{made.id}"
        return BranchOut.of(made)

    @router.patch("/{branch_id}")
    async def change_branch(branch_id: BranchPath, asked: BranchNames, operator: Operator) -> BranchOut:
        """Change the names of a branch."""
        return BranchOut.of(await do(rename_branch, operator, branch_id, asked.name_ko, asked.name_en))

    return router
