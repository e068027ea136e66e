"""HTTP: the examples, and how people label."""

from fastapi import APIRouter
from pydantic import BaseModel

from laundry_service.database import Database
from mlops import repository
from mlops.api.models import Cursor, Limit, Operator
from mlops.schemas import ExampleBody, ExamplePage


class OwnerBody(BaseModel):
    """How a person labels, as the newest training run saw it; ``careless`` labels teach nothing."""

    confirmed_by: str
    labels: int
    corrected: int
    new_labels: int | None = None
    corrections: int | None = None
    contradicted: int | None = None
    contrary: int | None = None
    careless: bool | None = None


class OwnerPage(BaseModel):
    """People, those with the most labels first."""

    items: list[OwnerBody]
    next_cursor: str | None = None


def examples_router(database: Database) -> APIRouter:
    """Make the endpoints of the examples."""
    routes = APIRouter(prefix="/examples", tags=["examples"])

    @routes.get("")
    async def list_examples(_: Operator, limit: Limit = 50, cursor: Cursor = None) -> ExamplePage:
        """List examples with their lineage, newest first, and what the last run made of each."""
        async with database.session() as session:
            rows = await repository.list_examples(session, limit=limit + 1, before=cursor)
            roles = await repository.latest_roles(session, [row["id"] for row in rows])
        items = []
        for row in rows[:limit]:
            role = roles.get(row["id"])
            told = {"run_id": role["run_id"], "role": role["role"], "reason": role["reason"]} if role else {}
            items.append(ExampleBody.model_validate({**row, **told}))
        return ExamplePage(items=items, next_cursor=rows[limit - 1]["id"] if len(rows) > limit else None)

    @routes.get("/owners")
    async def list_owners(_: Operator) -> OwnerPage:
        """List who labelled how much, and how well that agrees with everything else."""
        async with database.session() as session:
            rows = await repository.owners(session)
            care = await repository.latest_care(session)
        items = []
        for row in rows:
            seen = care.get(row["confirmed_by"], {})
            told = {
                key: seen[key]
                for key in ("corrections", "contradicted", "contrary", "careless")
                if key in seen
            }
            items.append(OwnerBody(**row, new_labels=seen.get("labels"), **told))
        return OwnerPage(items=items)

    return routes
