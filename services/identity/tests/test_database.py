"""What becomes of a query that the database cannot answer."""

import pytest

from laundry_service.storage.outages import is_outage

from .conftest import World


async def test_a_database_that_only_reads_for_now_is_an_outage(world: World) -> None:
    from django.db import connection

    from identity.database import DatabaseTrouble
    from identity.people.models import Branch

    def write() -> None:
        with connection.cursor() as cursor:
            # As after a failover, until the new primary is one.
            cursor.execute("SET TRANSACTION READ ONLY")
        Branch.objects.create(id="b1", name_ko="하나", name_en="One")

    with pytest.raises(DatabaseTrouble) as caught:
        await world.in_database(write)
    assert is_outage(caught.value)


async def test_a_mistake_of_ours_is_none(world: World) -> None:
    from django.db import InternalError, connection, transaction

    def go_on_after_an_error() -> None:
        with connection.cursor() as cursor:
            for statement in ("SELECT 1/0", "SELECT 1"):
                try:
                    cursor.execute(statement)
                except Exception as error:
                    if isinstance(error, InternalError):
                        raise
        transaction.set_rollback(True)

    with pytest.raises(InternalError):
        await world.in_database(go_on_after_an_error)
