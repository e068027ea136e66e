"""Equipment is known by its branch and its name there."""

import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.exc import IntegrityError

from laundry_service.migrate import alembic_config, upgrade
from laundry_testing.messaging import eventually
from monitoring.tables import equipment, watch

pytestmark = pytest.mark.servers

QUICK = {"heartbeat_check_s": 0.1, "heartbeat_after_s": 300, "flap_quiet_s": 0}


async def test_one_name_in_two_branches_is_two_machines(world: Any, service: Any, a_sample: Any) -> None:
    for turn in range(10):
        await service.post(a_sample(at=turn - 20, branch_id="b1", fault_code="E21"))
        await service.post(a_sample(at=turn - 20, branch_id="b2"))
    [event] = await world.events()
    assert event["branch_id"] == "b1"
    listed = (await service.get("/equipment")).json()["items"]
    assert [(m["branch_id"], m["id"], m["state"]) for m in listed] == [
        ("b2", "washer-1", "ok"),
        ("b1", "washer-1", "faulty"),
    ]
    first = (await service.get("/equipment", limit=1)).json()
    second = (await service.get("/equipment", limit=1, cursor=first["next_cursor"])).json()
    assert [page["items"][0]["branch_id"] for page in (first, second)] == ["b2", "b1"]

    unsaid = await service.get("/equipment/washer-1")
    assert (unsaid.status_code, unsaid.json()["code"]) == (409, "equipment-ambiguous")
    assert unsaid.json()["branches"] == ["b1", "b2"]
    for branch, state in (("b1", "faulty"), ("b2", "ok")):
        said = await service.get("/equipment/washer-1", branch_id=branch)
        assert (said.status_code, said.json()["state"]) == (200, state)
        # Who sees one of them needs not say which, and is not told of the other.
        seen = await service.get("/equipment/washer-1", token=world.token("owner", branch))
        assert (seen.status_code, seen.json()["branch_id"]) == (200, branch)
    hidden = await service.get("/equipment/washer-1", token=world.token("owner", "b1"), branch_id="b2")
    assert (hidden.status_code, hidden.json()["code"]) == (404, "equipment-unknown")

    operator = world.bearer(world.operator)
    unsaid = await service.client.delete("/equipment/washer-1", headers=operator)
    assert (unsaid.status_code, unsaid.json()["code"]) == (409, "equipment-ambiguous")
    gone = await service.client.delete("/equipment/washer-1?branch_id=b1", headers=operator)
    assert gone.status_code == 204
    assert (await service.get("/equipment/washer-1")).json()["branch_id"] == "b2"


async def _long_heard(world: Any) -> bool:
    async with world.engine.connect() as connection:
        found = (await connection.execute(sa.select(watch).where(watch.c.via == "http"))).first() is not None
    if found:
        await world.execute(sa.update(watch).values(hearing_since=sa.func.now() - timedelta(hours=1)))
    return found


async def _silent_in_b1(world: Any) -> None:
    await world.execute(
        sa.update(equipment)
        .where(equipment.c.branch_id == "b1")
        .values(heard_at=sa.func.now() - timedelta(seconds=301))
    )


async def test_a_machine_that_is_heard_elsewhere_with_its_own_token_has_moved(
    world: Any, a_sample: Any
) -> None:
    async with world.replica(**QUICK) as service:
        token = world.token("device", "b1", "b2", sub="washer-1")
        await service.post(a_sample(branch_id="b1", at=-5, fault_code="E21"), token=token)
        await service.post(a_sample(branch_id="b2", at=-4, fault_code="E21"), token=token)
        assert [event["branch_id"] for event in await world.events()] == ["b1", "b2"]
        await eventually(lambda: _long_heard(world), what="the first a_sample for silence")
        await _silent_in_b1(world)
        await eventually(lambda: _only_in(service, "b2"), what="the move")
        assert [event["cause"] for event in await world.events()] == ["fault_code", "fault_code"]
        assert "moved" in {found.cleared_by for found in await world.faults("washer-1")}


async def _only_in(service: Any, branch: str) -> bool:
    listed = (await service.get("/equipment")).json()["items"]
    return [machine["branch_id"] for machine in listed] == [branch]


async def test_a_namesake_that_falls_silent_is_a_fault_whoever_else_speaks(world: Any, a_sample: Any) -> None:
    async with world.replica(**QUICK) as service:
        for branch in ("b1", "b2"):
            token = world.token("device", branch, sub="washer-1")
            await service.post(a_sample(branch_id=branch), token=token)
        await eventually(lambda: _long_heard(world), what="the first a_sample for silence")
        await _silent_in_b1(world)
        await eventually(world.events, what="the silence")
        [event] = await world.events()
        assert (event["cause"], event["branch_id"]) == ("heartbeat", "b1")


async def test_a_flood_of_one_holds_up_no_namesake_elsewhere(world: Any, a_sample: Any) -> None:
    limits = {"telemetry": {"person": "2/m"}}
    async with world.replica(device_rate=0.01, device_burst=2, rate_limits=limits) as service:
        flooding, other = (world.token("device", branch, sub="washer-1") for branch in ("b1", "b2"))
        await service.post(*(a_sample(at=-n, branch_id="b1") for n in range(5)), token=flooding)
        refused = [await service.post(a_sample(at=1, branch_id="b1"), token=flooding) for _ in range(3)]
        assert [each.json()["code"] for each in refused] == [
            "rate-exceeded",
            "too-many-requests",
            "too-many-requests",
        ]

        async def logs_in(token: str) -> str:
            form = {"username": "washer-1", "password": token, "client_id": "washer-1"}
            return str((await service.client.post("/mqtt/auth/user", data=form)).text)

        assert [await logs_in(each) for each in (flooding, other)] == ["deny", "allow"]
        taken = await service.post(a_sample(at=1, branch_id="b2"), token=other)
        assert (taken.status_code, taken.json()["accepted"]) == (202, 1)


# What the release before says to the database, word for word as it matters here.
REGISTER = (
    "INSERT INTO equipment (id, branch_id, kind) VALUES (:id, :branch, 'washer') ON CONFLICT DO NOTHING"
)
NEWEST = (
    "UPDATE equipment SET branch_id = :branch, kind = 'washer', recorded_at = now(), received_at = now(), "
    "fault_code = :code, metrics = '{}', heard_at = now(), heard_via = 'http', broken_since = '{}', "
    "open_faults = :faults WHERE id = :id"
)
SAMPLE = (
    "INSERT INTO sample (equipment_id, recorded_at, branch_id, fault_code, metrics) "
    "VALUES (:id, now(), :branch, :code, '{}') ON CONFLICT DO NOTHING RETURNING equipment_id, recorded_at"
)
FAULT = (
    "INSERT INTO fault (id, equipment_id, branch_id, cause, key, fault_code, detected_at) "
    "VALUES (:fault, :id, :branch, 'fault_code', :code, :code, now())"
)
LOGIN = (
    "INSERT INTO mqtt_login (equipment_id, branches) VALUES (:id, ARRAY[:branch]) "
    "ON CONFLICT (equipment_id) DO UPDATE SET branches = excluded.branches, logged_in_at = now()"
)


async def test_the_release_before_goes_on_beside_this_one(world: Any, service: Any, a_sample: Any) -> None:
    async def before(*statements: str, **values: Any) -> None:
        async with world.engine.begin() as connection:
            for statement in statements:
                names = {name: value for name, value in values.items() if re.search(rf":{name}\b", statement)}
                await connection.execute(sa.text(statement), names)

    said = {"id": "washer-1", "branch": "b1", "code": "E1", "faults": 1, "fault": "f1"}
    await before(REGISTER, SAMPLE, NEWEST, FAULT, LOGIN, **said)
    # Its fault is known here and not told again, and what it left open ends here.
    await service.post(a_sample(at=1, fault_code="E1"))
    assert await world.events() == []
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"
    await service.post(a_sample(at=2))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"
    # A machine of this release, and its namesake elsewhere, can be spoken of there.
    await service.post(a_sample(at=3, branch_id="b2"))
    await before(REGISTER, SAMPLE, NEWEST, **{**said, "branch": "b2", "code": None, "faults": 0})
    await before(REGISTER, SAMPLE, NEWEST, **{**said, "branch": "b3", "code": None, "faults": 0})
    listed = (await service.get("/equipment")).json()["items"]
    assert {machine["branch_id"] for machine in listed} == {"b1", "b2", "b3"}
    with pytest.raises(IntegrityError):
        await before(FAULT, FAULT.replace(":fault", "'f3'"), **{**said, "fault": "f2"})


async def _downgrade(world: Any, revision: str) -> None:
    def run(connection: sa.Connection) -> None:
        config = alembic_config("monitoring")
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    # Each migration has its own transaction, and indexes go outside of one.
    async with world.engine.connect() as connection:
        await connection.run_sync(run)


async def test_what_was_known_survives_the_way_here_and_back(world: Any, a_sample: Any) -> None:
    await _downgrade(world, "0003")
    for statement in (REGISTER, SAMPLE, NEWEST, FAULT, LOGIN):
        values = {"id": "washer-1", "branch": "b1", "code": "E1", "faults": 1, "fault": "f1"}
        names = {name: value for name, value in values.items() if re.search(rf":{name}\b", statement)}
        await world.execute(sa.text(statement).bindparams(**names))
    await upgrade("monitoring", world.database_url)
    async with world.replica() as service:
        [shown] = (await service.get("/equipment")).json()["items"]
        assert (shown["branch_id"], shown["id"], shown["state"]) == ("b1", "washer-1", "faulty")
        await service.post(a_sample(at=1, branch_id="b2", fault_code="E1"), a_sample(at=1, fault_code="E1"))
        assert [event["branch_id"] for event in await world.events()] == ["b2"]
    await _downgrade(world, "0003")
    async with world.engine.connect() as connection:
        rows = (await connection.execute(sa.text("SELECT id FROM equipment"))).all()
        still = await connection.execute(sa.text("SELECT count(*) FROM fault WHERE cleared_at IS NULL"))
    assert len(rows) == 1
    assert still.scalar_one() == 1
    await upgrade("monitoring", world.database_url)
