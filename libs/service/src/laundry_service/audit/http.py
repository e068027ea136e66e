"""HTTP: a service's own audit, for operators only; and how an act is given its reason."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy import text

from laundry_service.audit.acts import MAX_TEXT
from laundry_service.audit.heads import HEAD
from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import MAX_INTEGER, page_of
from laundry_service.storage.database import Database

NEWEST = text("""
SELECT number, audit_shown(record) AS record FROM audit
WHERE (CAST(:before AS bigint) IS NULL OR number < :before)
  AND (CAST(:object AS text) IS NULL
       OR object IN (:object, (SELECT pseudonym FROM audit_people WHERE person = :object)))
ORDER BY number DESC LIMIT :limit
""")

Operator = Annotated[Principal, Depends(require("operator"))]
Concerns = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Only what concerns this")
]


Reason = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_TEXT,
        pattern=r"^[^\x00]*$",
        description="Why; the audit keeps it with your name",
    ),
]
"""A query parameter: a person's own words for an act that asks for none."""


class AuditPage(BaseModel):
    """A page of audit records, the newest first."""

    items: list[dict[str, Any]]
    next_cursor: int | None


def head_of(database: Database) -> Callable[[], Awaitable[Sequence[Any] | None]]:
    """Read the head of an audit."""

    async def fetch() -> Sequence[Any] | None:
        async with database.single() as connection:
            return (await connection.execute(text(HEAD))).first()

    return fetch


def audit_router(database: Database, *, prefix: str, tag: str) -> APIRouter:
    """Make ``<prefix>/audit``; include it before routes with a path parameter in that place."""
    router = APIRouter(prefix=prefix, tags=[tag])

    @router.get("/audit")
    async def list_audit(
        _: Operator,
        object: Concerns = None,  # noqa: A002 - its name in the query
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[int | None, Query(ge=0, le=MAX_INTEGER)] = None,
    ) -> AuditPage:
        """Read what people did here, when and why, newest first."""
        values = {"before": cursor, "object": object, "limit": limit + 1}
        async with database.session() as session:
            rows = (await session.execute(NEWEST, values)).all()
        shown, last = page_of(rows, limit)
        return AuditPage(
            items=[json.loads(row.record) for row in shown],
            next_cursor=None if last is None else last.number,
        )

    return router
