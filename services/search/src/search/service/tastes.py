"""Customers state their taste, or withdraw it."""

from datetime import datetime

from laundry_service.storage.database import Database
from search import repository
from search.preferences import Tags


class Tastes:
    """Stores one taste per customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, customer_id: str, tags: Tags) -> datetime:
        """Store a taste, replacing any earlier one; returns the time."""
        async with self._database.transaction() as session:
            return await repository.store_taste(session, customer_id, tags)

    async def forget(self, customer_id: str) -> None:
        """Delete a taste; the customer is no longer matched."""
        async with self._database.transaction() as session:
            await repository.forget_taste(session, customer_id)
