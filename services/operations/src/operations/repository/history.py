"""Queries of whom the history means."""

import secrets
from collections.abc import Collection

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from operations.tables import history_people


async def pseudonyms_of(connection: AsyncConnection, people: Collection[str]) -> dict[str, str]:
    """Return the pseudonym of each person, a new one for who has none."""
    if not people:
        return {}
    fresh = insert(history_people).values(
        # Sorted, so that concurrent writers of the same people may wait but never deadlock.
        [{"pseudonym": f"person-{secrets.token_hex(12)}", "person_id": each} for each in sorted(people)]
    )
    known = await connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["person_id"], set_={"person_id": fresh.excluded.person_id}
        ).returning(history_people.c.person_id, history_people.c.pseudonym)
    )
    return {str(row.person_id): row.pseudonym for row in known}
