"""``/branches/tags``: the words in which customers and branches say what they are looking for."""

from typing import Annotated

from fastapi import APIRouter, Depends

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.storage.database import Database
from search import repository
from search.schemas import TagList

Person = Annotated[Principal, Depends(require("customer", "owner", "operator"))]


def tags_router(database: Database) -> APIRouter:
    """Make the endpoint that lists tags."""
    router = APIRouter(prefix="/branches/tags", tags=["matching"])

    @router.get("")
    async def list_tags(_: Person) -> TagList:
        """List the catalogue, then the tags that branches made up, each with how many branches use it."""
        async with database.session() as session:
            used = await repository.branches_by_tag(session)
        return TagList.of(used)

    return router
