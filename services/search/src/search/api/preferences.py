"""HTTP: customers' tastes, branches' preferences, and what suits whom."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from laundry_events import new_id
from laundry_events.events import BranchId
from laundry_service.auth.callers import Caller, require, require_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import BadCursor, read_cursor, write_cursor
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import CONNECTED, EVENT_STREAM, EventStream
from search import repository
from search.preferences import KeyReused, NewPreference, Taste
from search.schemas import (
    MatchOut,
    MatchPage,
    PreferenceIn,
    PreferenceOut,
    PreferencePage,
    TasteIn,
    TasteOut,
)
from search.service.preferences import Stating

Customer = Annotated[Principal, Depends(require("customer"))]
Owner = Annotated[Principal, Depends(require("owner"))]
Branch = Annotated[BranchId, Path(description="The branch's id")]
Limit = Annotated[int, Query(ge=1, le=100)]


def customers_router(database: Database) -> APIRouter:
    """Make ``/customers/me/preference``."""
    router = APIRouter(prefix="/customers/me/preference", tags=["customers"])

    @router.put("")
    async def put(asked: TasteIn, customer: Customer) -> TasteOut:
        """Say what the caller likes, in place of what he said before."""
        async with database.transaction() as session:
            at = await repository.store_taste(session, customer.sub, asked.tags)
        return TasteOut(tags=asked.tags, updated_at=at)

    @router.get("")
    async def get(customer: Customer) -> TasteOut:
        """Read the caller's taste."""
        taste = await _taste(database, customer)
        return TasteOut(tags=taste.tags, updated_at=taste.updated_at)

    @router.delete("", status_code=204)
    async def delete(customer: Customer) -> None:
        """Forget the caller's taste: he is matched no more."""
        async with database.transaction() as session:
            await repository.forget_taste(session, customer.sub)

    return router


async def _taste(database: Database, customer: Principal) -> Taste:
    async with database.session() as session:
        taste = await repository.taste_of(session, customer.sub)
    if taste is None:
        raise Problem(
            404, "no-preference", "You have not said what you like yet: PUT /customers/me/preference."
        )
    return taste


def matching_router(database: Database, changes: Changes, *, threshold: float) -> APIRouter:
    """Make ``/branches/matching``."""
    router = APIRouter(prefix="/branches/matching", tags=["matching"])

    @router.get("")
    async def matching(
        customer: Customer,
        limit: Limit = 20,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> MatchPage:
        """Find the branches that suit the caller, best first, each with the sum behind its score."""
        taste = await _taste(database, customer)
        try:
            after = None if cursor is None else read_cursor(cursor, float, str)
        except BadCursor as error:
            raise Problem(
                422, "invalid-cursor", "Use next_cursor of the page before, or leave it out."
            ) from error
        async with database.session() as session:
            found = await repository.suitable_branches(
                session, customer.sub, threshold=threshold, after=after, limit=limit + 1
            )
        last = found[limit - 1] if len(found) > limit else None
        return MatchPage(
            items=[MatchOut.of(item, taste.tags) for item in found[:limit]],
            next_cursor=None if last is None else write_cursor(last.score, last.preference.branch_id),
        )

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(request: Request, customer: Customer) -> EventStream:
        """Hear at once of each new preference that suits the caller, as a `match` event."""
        return EventStream(
            request.app.state.streams, changes, customer, topics={customer.sub}, greeting=CONNECTED
        )

    return router


def preferences_router(database: Database, stating: Stating) -> APIRouter:
    """Make ``/branches/{branch_id}/preferences``."""
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
        """Say what the branch is like. Customers whom it suits are found at once and hear of it."""
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
            stored, is_new = await stating.state(new)
        except KeyReused as error:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key was used for another preference. Send a new key.",
            ) from error
        except TimeoutError as error:
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
        """Read what a branch stated, newest first. Customers may read of every branch."""
        _may_read(caller, branch_id)
        async with database.session() as session:
            found = await repository.preferences_of(
                session, branch_id, before=None if cursor is None else str(cursor), limit=limit + 1
            )
        shown = [PreferenceOut.of(item, with_matched=_of_branch(caller)) for item in found[:limit]]
        return PreferencePage(items=shown, next_cursor=shown[-1].id if len(found) > limit else None)

    @router.get("/{preference_id}")
    async def get_preference(branch_id: Branch, preference_id: UUID, caller: Caller) -> PreferenceOut:
        """Read one preference."""
        _may_read(caller, branch_id)
        async with database.session() as session:
            found = await repository.preference(session, branch_id, str(preference_id))
        if found is None:
            raise Problem(404, "preference-unknown", "This branch has stated no such preference.")
        return PreferenceOut.of(found, with_matched=_of_branch(caller))

    return router


def _may_read(caller: Principal, branch_id: str) -> None:
    if caller.role == "device":
        raise Problem(403, "role-forbidden", "A device has no use for preferences.")
    if caller.role != "customer":
        require_branch(caller, branch_id)


def _of_branch(caller: Principal) -> bool:
    return caller.role in {"owner", "operator"}
