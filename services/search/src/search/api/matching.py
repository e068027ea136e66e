"""``/branches/matching``: the branches that suit a customer."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from laundry_service.http.cursors import page_of, position, write_cursor
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import CONNECTED, EVENT_STREAM, EventStream
from search import repository
from search.api.permissions import Customer
from search.api.tastes import taste_of
from search.schemas import Limit, MatchOut, MatchPage


def matching_router(database: Database, changes: Changes, *, threshold: float) -> APIRouter:
    """Make the endpoints below ``/branches/matching``."""
    router = APIRouter(prefix="/branches/matching", tags=["matching"])

    @router.get("")
    async def matching(
        customer: Customer,
        limit: Limit = 20,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> MatchPage:
        """Find the branches that suit the caller, best first, each with the parts of its score."""
        taste = await taste_of(database, customer)
        after = position(cursor, float, str, code="invalid-cursor")
        async with database.session() as session:
            found = await repository.suitable_branches(
                session, customer.sub, threshold=threshold, after=after, limit=limit + 1
            )
        shown, last = page_of(found, limit)
        return MatchPage(
            items=[MatchOut.of(item, taste.tags) for item in shown],
            next_cursor=None if last is None else write_cursor(last.score, last.preference.branch_id),
        )

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(request: Request, customer: Customer) -> EventStream:
        """Stream each new preference that suits the caller, as a `match` event."""
        return EventStream(
            request.app.state.streams, changes, customer, topics={customer.sub}, greeting=CONNECTED
        )

    return router
