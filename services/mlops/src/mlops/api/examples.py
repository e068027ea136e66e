"""HTTP: the examples, and how people label."""

from fastapi import APIRouter

from laundry_service.http.cursors import page_of
from laundry_service.storage.database import Database
from mlops import repository
from mlops.api.parameters import Cursor, Limit, Operator
from mlops.schemas import ExamplePage, OwnerPage, example_body, owner_body


def examples_router(database: Database) -> APIRouter:
    """Make the endpoints of the examples."""
    routes = APIRouter(prefix="/examples", tags=["examples"])

    @routes.get("")
    async def list_examples(_: Operator, limit: Limit = 50, cursor: Cursor = None) -> ExamplePage:
        """List examples with their lineage, newest first, and what the last run made of each."""
        async with database.session() as session:
            examples = await repository.list_examples(session, limit=limit + 1, before=cursor)
            uses = await repository.latest_uses(session, [example.id for example in examples])
        shown, last = page_of(examples, limit)
        return ExamplePage(
            items=[example_body(example, uses.get(example.id)) for example in shown],
            next_cursor=None if last is None else last.id,
        )

    @routes.get("/owners")
    async def list_owners(_: Operator) -> OwnerPage:
        """List who labelled how much, and how well that agrees with everything else."""
        async with database.session() as session:
            counts = await repository.owners(session)
            quality = await repository.latest_label_quality(session)
        return OwnerPage(items=[owner_body(count, quality.get(count.confirmed_by)) for count in counts])

    return routes
