"""``/branches/{branch_id}/preferences``: what a branch says it is like."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response

from laundry_events import new_id
from laundry_events.events import BranchId
from laundry_service.auth.callers import Caller, require_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import page_of
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from search import repository
from search.api.permissions import Operator, Owner, Withdrawing
from search.preferences import KeyReused, MatchingTooSlow, NewPreference
from search.schemas import Limit, PreferenceIn, PreferenceOut, PreferencePage
from search.service.preferences import Preferences

Branch = Annotated[BranchId, Path(description="The branch's id")]


def preferences_router(database: Database, preferences: Preferences) -> APIRouter:
    """Make the endpoints below ``/branches/{branch_id}/preferences``."""
    router = APIRouter(prefix="/branches/{branch_id}/preferences", tags=["branches"])

    @router.post(
        "",
        status_code=201,
        responses={200: {"model": PreferenceOut, "description": "Stated before with this Idempotency-Key"}},
    )
    async def state(
        branch_id: Branch,
        asked: PreferenceIn,
        owner: Owner,
        response: Response,
        idempotency_key: Annotated[
            str | None,
            Header(
                pattern=r"^[\x21-\x7e]{1,200}$",
                description="The same key is the same preference, however often it is sent; "
                "it counts for this branch and this owner",
            ),
        ] = None,
    ) -> PreferenceOut:
        """State what the branch is like. Matching customers are found immediately and notified."""
        require_branch(owner, branch_id)
        new = NewPreference(
            id=new_id(),
            branch_id=branch_id,
            title=asked.title,
            text=asked.text,
            tags=asked.tags,
            created_by=owner.sub,
            idempotency_key=idempotency_key,
        )
        try:
            stored, is_new = await preferences.state(new)
        except KeyReused as error:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key was used for another preference. Send a new key.",
            ) from error
        except MatchingTooSlow as error:
            raise Problem(
                503,
                "matching-too-slow",
                "Matching took too long and nothing was kept. Try again shortly.",
                headers={"Retry-After": "30"},
            ) from error
        response.status_code = 201 if is_new else 200
        response.headers["Location"] = f"/branches/{branch_id}/preferences/{stored.id}"
        return PreferenceOut.of(stored, with_matched=True)

    @router.get("")
    async def list_preferences(
        branch_id: Branch,
        caller: Caller,
        limit: Limit = 20,
        cursor: Annotated[UUID | None, Query(description="next_cursor of the page before")] = None,
    ) -> PreferencePage:
        """List a branch's preferences, newest first. Customers may read those of every branch."""
        _may_read(caller, branch_id)
        async with database.session() as session:
            found = await repository.preferences_of(
                session, branch_id, before=None if cursor is None else str(cursor), limit=limit + 1
            )
        shown, last = page_of(found, limit)
        return PreferencePage(
            items=[PreferenceOut.of(item, with_matched=_of_branch(caller)) for item in shown],
            next_cursor=None if last is None else last.id,
        )

    @router.get("/{preference_id}")
    async def get_preference(branch_id: Branch, preference_id: UUID, caller: Caller) -> PreferenceOut:
        """Read one preference of a branch."""
        _may_read(caller, branch_id)
        async with database.session() as session:
            found = await repository.preference(session, branch_id, str(preference_id))
        if found is None:
            raise _unknown()
        return PreferenceOut.of(found, with_matched=_of_branch(caller))

    @router.delete("/{preference_id}", status_code=204)
    async def withdraw(branch_id: Branch, preference_id: UUID, caller: Withdrawing) -> None:
        """Take a preference back. Customers who have not been told of it are not."""
        require_branch(caller, branch_id)
        if not await preferences.withdraw(branch_id, str(preference_id)):
            raise _unknown()

    @router.delete("", status_code=204)
    async def withdraw_all(branch_id: Branch, _: Operator) -> None:
        """Take back all that a branch said, because it closes. It is recommended to nobody any more."""
        await preferences.withdraw(branch_id)

    return router


def _unknown() -> Problem:
    return Problem(404, "preference-unknown", "This branch has stated no such preference.")


def _may_read(caller: Principal, branch_id: str) -> None:
    if caller.role == "device":
        raise Problem(403, "role-forbidden", "A device has no use for preferences.")
    if caller.role != "customer":
        require_branch(caller, branch_id)


def _of_branch(caller: Principal) -> bool:
    return caller.role in {"owner", "operator"}
