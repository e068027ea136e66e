"""Django's database from asynchronous code."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from django.db import connections, transaction

Result = TypeVar("Result")


async def in_database(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread and in one transaction; its connection goes back to the pool."""

    def run() -> Result:
        try:
            with transaction.atomic():
                return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


def ping() -> bool:
    """Run a trivial query, as a health check."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")
    return True
