"""Django's database from asynchronous code."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from django.db import DataError, InterfaceError, InternalError, OperationalError, connections, transaction

from laundry_service.storage.outages import is_outage

Result = TypeVar("Result")


class DatabaseTrouble(ConnectionError):
    """The database is away or busy, or refused a value: ``laundry_service.storage.outages`` tells which.

    Attributes:
        orig: the driver's error.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.orig = error.__cause__


async def in_database(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread and in one transaction; its connection goes back to the pool.

    Raises:
        DatabaseTrouble: the database is the reason that it failed.
    """

    def run() -> Result:
        try:
            with transaction.atomic():
                return work()
        except (OperationalError, InterfaceError, DataError) as error:
            raise DatabaseTrouble(error) from error
        except InternalError as error:
            # What the driver calls so is our mistake, but for a server that only reads for now.
            if error.__cause__ is None or not is_outage(error.__cause__):
                raise
            raise DatabaseTrouble(error) from error
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


def ping() -> bool:
    """Run a trivial query, as a health check."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")
    return True
