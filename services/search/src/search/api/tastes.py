"""``/customers/me/preference``: what a customer likes."""

from fastapi import APIRouter

from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from search import repository
from search.api.permissions import Customer
from search.preferences import Taste
from search.schemas import TasteIn, TasteOut
from search.service.tastes import Tastes


def tastes_router(database: Database, tastes: Tastes) -> APIRouter:
    """Make the endpoints of ``/customers/me/preference``."""
    router = APIRouter(prefix="/customers/me/preference", tags=["customers"])

    @router.put("")
    async def put(asked: TasteIn, customer: Customer) -> TasteOut:
        """Replace the caller's taste."""
        return TasteOut(tags=asked.tags, updated_at=await tastes.state(customer.sub, asked.tags))

    @router.get("")
    async def get(customer: Customer) -> TasteOut:
        """Read the caller's taste."""
        taste = await taste_of(database, customer)
        return TasteOut(tags=taste.tags, updated_at=taste.updated_at)

    @router.delete("", status_code=204)
    async def delete(customer: Customer) -> None:
        """Delete the caller's taste; they are no longer matched."""
        await tastes.forget(customer.sub)

    return router


async def taste_of(database: Database, customer: Principal) -> Taste:
    """Return the caller's taste. Raises Problem: 404 if there is none."""
    async with database.session() as session:
        taste = await repository.taste_of(session, customer.sub)
    if taste is None:
        raise Problem(
            404, "no-preference", "You have not said what you like yet: PUT /customers/me/preference."
        )
    return taste
