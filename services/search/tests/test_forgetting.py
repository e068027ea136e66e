"""A person is exported and forgotten: tastes, matches, and who stated a preference."""

import json

import pytest

from laundry_events import Outbox
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_testing.erasing import TOMBSTONE, person_erased
from laundry_testing.traces import in_database
from search.repository.held import HELD
from search.tables import matches

from .conftest import World

pytestmark = pytest.mark.servers

WHO, OTHER = "customer-kim", "customer-lee"


async def test_a_customer_sees_what_is_held_and_is_forgotten(world: World, database_url: str) -> None:
    for customer in (WHO, OTHER):
        await world.likes(customer, quiet=0.9, sauna=0.4)
    await world.state("b1", key="the-key-of-owner-1", quiet=0.9, sauna=0.4)
    assert await world.count(matches) == 2

    answer = await world.http.post("/personal-data", json={}, headers=world.customer(WHO))
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1] == {"rows": 4}
    told = {(line["kind"], line["row"].get("tag")) for line in lines[:-1]}
    assert told == {("tags", "quiet"), ("tags", "sauna"), ("tastes", None), ("matches", None)}
    other = {"person": OTHER}
    answer = await world.http.post("/personal-data", json=other, headers=world.customer(WHO))
    assert (answer.status_code, answer.json()["code"]) == (403, "person-forbidden")
    operator = world.identity.bearer("operator")
    answer = await world.http.post("/personal-data", json=other, headers=operator)
    assert json.loads(answer.text.splitlines()[-1]) == {"rows": 4}

    erasures = Erasures(world.database, Outbox("search"), PersonalData(world.database, HELD))
    event, meta = person_erased(WHO)
    for _ in range(2):
        await erasures.erase(event, meta)
    # Nor does what was announced before, and still waits, name the customer to others.
    assert await in_database(database_url, [WHO]) == []
    assert await world.count(matches) == 1
    answers = [body for body in await world.events() if "service" in body]
    rows = {"tags": 2, "tastes": 1, "matches": 1, "preferences": 0, "waiting_events": 1}
    assert [(body["service"], body["rows"]) for body in answers] == [("search", rows)]

    event, meta = person_erased("owner-1")
    await erasures.erase(event, meta)
    assert await in_database(database_url, ["owner-1"]) == []
    named = {row.split(":")[0].split("/")[0] for row in await in_database(database_url, [TOMBSTONE])}
    assert named == {"public.preferences", "public.outbox"}
