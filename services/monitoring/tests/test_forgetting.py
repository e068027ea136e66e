"""Only the audit names people here: whom it means is forgotten, and what was done is not."""

import pytest

from laundry_events import Outbox
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write
from laundry_service.migrate import upgrade
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.erasing import person_erased
from laundry_testing.traces import in_database
from monitoring.repository.held import HELD

pytestmark = pytest.mark.servers

WHO = "operator-kim"


async def test_an_operator_is_forgotten_and_what_they_retired_is_not(database_url: str) -> None:
    await upgrade("monitoring", database_url)
    database = Database(database_url, pool=2)
    async with database.transaction() as session:
        await write(session, Act("equipment.retire", "washer-1", Actor(WHO, "operator"), "scrapped"))
    data = PersonalData(database, HELD, audited=True)
    told = [(kind, row["by"], row["object"]) async for kind, row in data.export(WHO)]
    assert told == [("acts", WHO, "washer-1")]
    event, meta = person_erased(WHO)
    for _ in range(2):
        await Erasures(database, Outbox("monitoring"), data).erase(event, meta)
    assert await in_database(database_url, [WHO]) == []
    assert len(await in_database(database_url, ["washer-1"])) == 1
    (answer,) = await in_database(database_url, [event.erasure_id])
    assert answer.startswith("public.outbox")
    await database.close()
