"""Forgets an account and what it did here, and tells what is held of it."""

from collections.abc import AsyncIterator
from typing import Any

from identity.database import in_database
from identity.people import repository
from identity.people.service.acting import cut_off
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database


class People(PersonalData):
    """What this service holds of people, by Django's models."""

    def __init__(self, database: Database) -> None:
        """Take the database, in which the audit is."""
        super().__init__(database, (), audited=True)

    async def export(self, person: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield the account, and what the person did here."""
        for kind, row in await in_database(lambda: repository.held_of(person)):
            yield kind, row
        async for each in super().export(person):
            yield each

    async def erase(self, person: str, tombstone: str) -> dict[str, int]:
        """Delete the account and end its tokens; returns how many rows of each kind."""
        return await in_database(lambda: erase(person, tombstone))


def erase(person: str, tombstone: str) -> dict[str, int]:
    """Delete an account, in one transaction: what hangs on it is a few sign-ins."""
    now = repository.clock()
    found = repository.person(person, lock=True)
    if found is not None:
        # Until they are over, which the second request finds.
        cut_off(person, found.right.role if found.right is not None else "customer", now)
    # Before they name a tombstone: what somebody gave ends with their right. Also of other providers' people.
    repository.withdraw_invitations_of(person, (), now)
    return repository.forget(found, person, tombstone, now)
