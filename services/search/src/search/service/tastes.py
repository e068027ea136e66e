"""A customer says what he likes, or takes it back."""

from datetime import datetime

from laundry_service.storage.database import Database
from search import repository
from search.preferences import Tags


class Tastes:
    """Keeps one taste of each customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, customer_id: str, tags: Tags) -> datetime:
        """Store a taste in place of any earlier one; returns when."""
        async with self._database.transaction() as session:
            return await repository.store_taste(session, customer_id, tags)

    async def forget(self, customer_id: str) -> None:
        """Delete a taste: the customer is matched no more."""
        async with self._database.transaction() as session:
            await repository.forget_taste(session, customer_id)
