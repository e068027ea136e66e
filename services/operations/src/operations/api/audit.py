"""``/audit``: who did what to which dead letter."""

from typing import Annotated

from fastapi import APIRouter, Query

from laundry_service.http.cursors import MAX_INTEGER, page_of
from operations.api.permissions import Operator
from operations.api.problems import main_queue
from operations.repository import Store
from operations.schemas import AuditPage


def audit_router(store: Store) -> APIRouter:
    """Make the endpoint ``/audit``."""
    router = APIRouter(prefix="/audit", tags=["audit"])

    @router.get("")
    async def list_audit(
        _: Operator,
        queue: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[int | None, Query(ge=0, le=MAX_INTEGER)] = None,
    ) -> AuditPage:
        """Read who did what to which dead letter, when and why, newest first."""
        name = None if queue is None else main_queue(queue)
        found = await (await store.audit()).newest(before=cursor, queue=name, limit=limit + 1)
        shown, last = page_of(found, limit)
        return AuditPage(items=[record for _, record in shown], next_cursor=None if last is None else last[0])

    return router
