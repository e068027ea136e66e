"""Nobody is told without consent, at night or after one tap; what was agreed to is recorded."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from laundry_events.events import PreferenceWithdrawn
from laundry_servers.daytime import zone_by_day, zone_by_night
from laundry_testing.messaging import eventually
from laundry_testing.problems import assert_problem
from notification.tables import deliveries, settled

from .conftest import World, a_preference

pytestmark = pytest.mark.servers

PATH = "/customers/me/consent"


async def test_what_was_agreed_to_when_and_in_which_words_is_recorded(alone: World) -> None:
    korean = alone.identity.bearer("customer", sub="lee")
    english = {**korean, "Accept-Language": "en"}
    asked = (await alone.http.get(PATH, headers=korean)).json()
    assert (asked["given"], asked["changed_at"], asked["text_version"]) == (False, None, None)
    assert (asked["per_week"], asked["quiet_from"], asked["quiet_until"]) == (2, "21:00", "08:00")
    assert asked["time_zone"] == "Asia/Seoul"
    assert "일주일에 2번" in asked["text"]["body"]
    words = (await alone.http.get(PATH, headers=english)).json()["text"]
    assert words["version"] == asked["text"]["version"]
    assert "at most 2 a week" in words["body"]

    version = words["version"]
    given = {"given": True, "text_version": version, "time_zone": "Europe/Berlin"}
    for _ in range(2):
        said = (await alone.http.put(PATH, json=given, headers=english)).json()
    assert (said["given"], said["text_version"], said["time_zone"]) == (True, version, "Europe/Berlin")
    for _ in range(2):
        said = (await alone.http.put(PATH, json={"given": False}, headers=korean)).json()
    assert (said["given"], said["text_version"]) == (False, version)

    ended, begun = (await alone.http.get(f"{PATH}/records", headers=korean)).json()["items"]
    assert begun["title"] == words["title"]
    assert (begun["given"], begun["language"], begun["body"]) == (True, "en", words["body"])
    assert (begun["via"], begun["text_version"]) == ("page", version)
    assert (ended["given"], ended["via"], ended["body"]) == (False, "page", None)
    assert ended["at"] > begun["at"]
    others = await alone.http.get(f"{PATH}/records", headers=alone.identity.bearer("customer", sub="han"))
    assert others.json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"given": True, "text_version": "older"}, 409, "consent-text-changed"),
        ({"given": True}, 409, "consent-text-changed"),
        ({"given": "yes"}, 422, "invalid-request"),
        ({"given": False, "time_zone": "../../etc/passwd"}, 422, "invalid-request"),
        ({"given": False, "why": "spam"}, 422, "invalid-request"),
        ({}, 422, "invalid-request"),
    ],
)
async def test_a_word_that_is_no_consent_is_refused(
    alone: World, body: dict[str, Any], status: int, code: str
) -> None:
    headers = alone.identity.bearer("customer", sub="lee")
    assert_problem(await alone.http.put(PATH, json=body, headers=headers), status, code)
    assert not (await alone.http.get(PATH, headers=headers)).json()["given"]


async def test_only_customers_are_asked(alone: World) -> None:
    for role in ("owner", "helper", "operator", "device"):
        headers = alone.identity.bearer(role, "b1")
        assert_problem(await alone.http.get(PATH, headers=headers), 403, "role-forbidden")
    assert_problem(await alone.http.get(PATH), 401, "token-missing")


async def test_without_consent_no_phone_shows_it(world: World) -> None:
    silent = await world.register("customer", sub="lee", agrees=False)
    loud = await world.register("customer", sub="han")
    await world.publish(a_preference("lee", "han"))
    await world.phones.gets(loud)
    await world.settled("customer", sub="lee", state="suppressed")
    # What he agrees to later is what comes later.
    await world.agree("lee")
    await world.publish(a_preference("lee", title="Another"))
    (push,) = await world.phones.gets(silent)
    assert "Another" in push["title"]


async def test_one_tap_ends_it_without_signing_in(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.publish(a_preference("lee"))
    (push,) = await world.phones.gets(token)
    assert_problem(await world.http.post("/unsubscribe", json={"key": "somebody's"}), 404, "stop-key-unknown")
    for _ in range(2):
        stopped = await world.http.post("/unsubscribe", json={"key": push["data"]["stop_key"]})
        assert stopped.status_code == 204
    headers = world.identity.bearer("customer", sub="lee")
    assert not (await world.http.get(PATH, headers=headers)).json()["given"]
    records = (await world.http.get(f"{PATH}/records", headers=headers)).json()["items"]
    assert [each["via"] for each in records] == ["link", "page"]
    await world.publish(a_preference("lee", title="Another"))
    await eventually(lambda: _states(world, ["suppressed", "sent"]), what="the other in the list only")
    assert len(await world.phones.got(token)) == 1


async def test_at_night_it_waits_and_in_the_morning_it_is_told(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.agree("lee", zone=zone_by_night())
    await world.publish(a_preference("lee"))
    wait = await eventually(lambda: _waiting(world), what="a wait for the morning")
    assert timedelta(hours=6) < wait <= timedelta(hours=8)
    assert await world.phones.got(token) == []
    await world.settled("customer", sub="lee", state="pending")
    await world.agree("lee", zone=zone_by_day())
    await _morning(world)
    await world.phones.gets(token)
    await world.settled("customer", sub="lee", state="sent")


async def test_who_ends_it_at_night_is_told_nothing_in_the_morning(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.agree("lee", zone=zone_by_night())
    await world.publish(a_preference("lee"))
    await eventually(lambda: _waiting(world), what="a wait for the morning")
    headers = world.identity.bearer("customer", sub="lee")
    await world.http.put(PATH, json={"given": False}, headers=headers)
    await world.settled("customer", sub="lee", state="suppressed")
    assert await world.count(deliveries) == 0
    assert await world.phones.got(token) == []


async def test_what_a_branch_takes_back_at_night_is_not_told_in_the_morning(world: World) -> None:
    token = await world.register("customer", sub="lee")
    await world.agree("lee", zone=zone_by_night())
    for number, first in enumerate(("stated", "withdrawn")):
        preference = a_preference("lee", title=f"Sauna {number}")
        gone = PreferenceWithdrawn(
            preference_id=preference.preference_id, branch_id="b1", withdrawn_at=datetime.now(UTC)
        )
        if first == "stated":
            await world.publish(preference)
            await eventually(lambda: _waiting(world), what="a wait for the morning")
            await world.publish(gone)
        else:
            await world.publish(gone)
            await eventually(lambda: _settled(world, 2), what="both withdrawals")
            await world.publish(preference)
        await eventually(partial(_states, world, ["suppressed"] * (number + 1)), what="nothing that waits")
    assert await world.phones.got(token) == []


async def _settled(world: World, number: int) -> bool:
    return await world.count(settled) == number


async def _states(world: World, states: list[str]) -> bool:
    return [item["state"] for item in await world.history("customer", sub="lee")] == states


async def _waiting(world: World) -> timedelta | None:
    async with world.database.session() as session:
        found = await session.execute(sa.select(deliveries.c.next_attempt_at, deliveries.c.attempts))
        row = found.first()
    wait = None if row is None else row.next_attempt_at - datetime.now(UTC)
    assert row is None or row.attempts == 0
    # A lease lasts seconds.
    return wait if wait is not None and wait > timedelta(minutes=5) else None


async def _morning(world: World) -> None:
    async with world.database.transaction() as session:
        await session.execute(sa.update(deliveries).values(next_attempt_at=sa.func.now()))
