"""An account is exported and forgotten: name and address, sign-ins, and who invited whom."""

import json

import pytest

from laundry_events import Outbox
from laundry_service.personal_data.erasing import Erasures
from laundry_service.storage.database import Database
from laundry_testing.erasing import TOMBSTONE, person_erased
from laundry_testing.traces import in_database

from .conftest import World

pytestmark = pytest.mark.servers


async def forget(world: World, *subs: str) -> None:
    from identity.people.service.erasing import People

    database = Database(world.settings.database_url.get_secret_value(), pool=2)
    erasures = Erasures(database, Outbox("identity"), People(database))
    for sub in subs:
        event, meta = person_erased(sub)
        await erasures.erase(event, meta)
    await database.close()


async def test_what_the_forgotten_invited_to_is_over(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1")
    (found,) = await world.people(world.operator, role="owner")
    invitations = [
        await world.invite(owner, "helper", "b1"),
        # Of another provider's people nothing is here but what they did.
        await world.invite(world.operator, "operator"),
    ]
    await forget(world, found["sub"], "operator-1")
    for invitation in invitations:
        page = await world.http.get(invitation["link"].removeprefix(world.settings.issuer))
        assert page.status_code == 410


async def test_an_account_is_forgotten_with_what_it_did(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1", name="김민지")
    (found,) = await world.people(world.operator, role="owner")
    who = found["sub"]
    invited = await world.invite(owner, "helper", "b1", note="박서준")
    answer = await world.accept(invited, "seojun@example.org")
    assert answer.status_code < 400, answer.text
    (helper,) = await world.people(world.operator, role="helper")
    answer = await world.http.post("/personal-data", json={}, headers=owner)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("kind") for line in lines] == ["account", "invitations", "acts", None]
    assert lines[0]["row"]["name"] == "김민지"
    assert "password" not in lines[0]["row"]

    await forget(world, helper["sub"], who)
    # Their tokens are refused at once, and until the last of them is over.
    assert {each["sub"] for each in await world.denied()} == {helper["sub"], who}
    words = [who, helper["sub"], found["email"], "seojun@example.org", "김민지", "박서준"]
    url = world.settings.database_url.get_secret_value()
    left = await in_database(url, words)
    assert [row for row in left if not row.startswith("public.people_denial")] == []
    (made,) = await in_database(url, [TOMBSTONE])
    assert made.startswith("public.people_invitation")
    assert await world.people(world.operator) == []
