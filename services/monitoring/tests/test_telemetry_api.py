"""POST /telemetry against a real database: what is taken, and what becomes of it."""

from typing import Any

import pytest

pytestmark = pytest.mark.servers


async def test_a_reported_code_makes_one_fault_until_it_clears(world: Any, service: Any, look: Any) -> None:
    answer = await service.post(look(fault_code="E21"))
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"accepted": 1, "duplicate": 0, "ignored": 0, "problems": []}
    await service.post(look(at=1, fault_code="E21"))
    [event] = await world.events()
    assert event["equipment_id"] == "washer-1"
    assert (event["cause"], event["fault_code"], event["branch_id"]) == ("fault_code", "E21", "b1")

    shown = (await service.get("/equipment/washer-1")).json()
    assert shown["state"] == "faulty"
    assert [found["id"] for found in shown["open_faults"]] == [event["fault_id"]]

    await service.post(look(at=2))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"
    await service.post(look(at=3, fault_code="E21"))
    assert len(await world.events()) == 2


async def test_the_same_sample_again_has_no_second_effect(world: Any, service: Any, look: Any) -> None:
    once = look(fault_code="E21")
    await service.post(once)
    again = await service.post(once, {**once, "fault_code": "E99"}, look(at=1, fault_code="E21"))
    told = again.json()
    assert (told["accepted"], told["duplicate"], told["ignored"]) == (1, 2, 0)
    assert [(p["index"], p["code"]) for p in told["problems"]] == [(0, "duplicate"), (1, "duplicate")]
    assert len(await world.events()) == 1
    assert await world.samples("washer-1") == 2


async def test_a_late_sample_neither_opens_nor_clears_a_fault(world: Any, service: Any, look: Any) -> None:
    await service.post(look(fault_code="E21"))
    told = (await service.post(look(at=-60))).json()
    assert (told["accepted"], told["ignored"]) == (0, 1)
    assert told["problems"][0]["code"] == "late"
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"

    await service.post(look(at=10))
    await service.post(look(at=5, fault_code="E22"))
    shown = (await service.get("/equipment/washer-1")).json()
    assert shown["state"] == "ok"
    assert shown["last_sample"]["fault_code"] is None
    assert len(await world.events()) == 1
    assert await world.samples("washer-1") == 4


async def test_a_sample_older_than_a_day_is_ignored_and_said_so(world: Any, service: Any, look: Any) -> None:
    told = (await service.post(look(at=-25 * 3600, fault_code="E21"), look())).json()
    assert (told["accepted"], told["ignored"]) == (1, 1)
    assert told["problems"] == [
        {
            "index": 0,
            "code": "too-old",
            "detail": "recorded_at is more than 24 h ago; such samples are not stored.",
        }
    ]
    assert await world.events() == []
    assert await world.samples("washer-1") == 1


async def test_one_bad_sample_refuses_the_request_and_nothing_is_stored(
    world: Any, service: Any, look: Any
) -> None:
    for changes, code in (
        ({"at": 600}, "recorded-in-future"),
        ({"metrics": {"temperature_celsius": 900}}, "impossible-value"),
        ({"metrics": {"temperature_fahrenheit": 160}}, "unknown-metric"),
        ({"recorded_at": "2026-03-01T12:00:00"}, "invalid-request"),
    ):
        refused = await service.post(look(fault_code="E21"), look("washer-2", **changes))
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == code
        assert refused.json()["problems"][0]["index"] == 1
    assert await world.events() == []
    assert (await service.get("/equipment")).json()["items"] == []


async def test_malformed_and_oversized_bodies_are_refused(world: Any, service: Any, look: Any) -> None:
    bearer = world.bearer(world.operator)
    for raw, status, code in (
        (b'{"samples": [', 400, "malformed-json"),
        (b'{"samples": [{"metrics": {"temperature_celsius": NaN}}]}', 422, "invalid-request"),
        (b" " * (1024 * 1024 + 1), 413, "telemetry-too-large"),
    ):
        refused = await service.client.post("/telemetry", content=raw, headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_a_device_posts_only_as_itself_and_only_for_its_branch(
    world: Any, service: Any, look: Any
) -> None:
    device = world.token("device", "b1", sub="washer-1")
    assert (await service.post(look(), token=device)).status_code == 202
    foreign = await service.post(look(at=1), look("washer-2"), token=device)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "equipment-forbidden")
    elsewhere = await service.post(look(at=1, branch_id="b2"), token=device)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "branch-forbidden")
    assert await world.samples("washer-1") == 1


async def test_owners_post_nothing_and_strangers_nothing_at_all(world: Any, service: Any, look: Any) -> None:
    owner = await service.post(look(), token=world.token("owner", "b1"))
    assert (owner.status_code, owner.json()["code"]) == (403, "role-forbidden")
    expired = await service.post(look(), token=world.token("device", "b1", sub="washer-1", seconds=-60))
    assert (expired.status_code, expired.json()["code"]) == (401, "token-expired")
    missing = await service.client.post("/telemetry", json={"samples": [look()]})
    assert (missing.status_code, missing.json()["code"]) == (401, "token-missing")


async def test_equipment_that_moves_takes_its_trouble_to_the_new_branch(
    world: Any, service: Any, look: Any
) -> None:
    await service.post(look(fault_code="E21"))
    await service.post(look(at=1, branch_id="b2", fault_code="E21"))
    assert [event["branch_id"] for event in await world.events()] == ["b1", "b2"]
    shown = (await service.get("/equipment/washer-1")).json()
    assert (shown["branch_id"], len(shown["open_faults"])) == ("b2", 1)
    assert {found["cleared_by"] for found in shown["recent_faults"]} == {None, "moved"}

    # A late sample from the old branch does not take it back.
    await service.post(look(at=0.5))
    assert (await service.get("/equipment/washer-1")).json()["branch_id"] == "b2"


async def test_a_limit_broken_for_a_while_is_one_fault_with_its_figures(
    world: Any, service: Any, look: Any
) -> None:
    hot = {"temperature_celsius": 97.5}
    for at in (-90, -80, -70):
        await service.post(look(at=at, metrics=hot))
    assert await world.events() == []
    await service.post(look(at=-60, metrics=hot), look(at=-50, metrics=hot), look(at=-40, metrics={}))
    [event] = await world.events()
    assert (event["cause"], event["metric"], event["value"], event["limit"]) == (
        "limit",
        "temperature_celsius",
        97.5,
        95,
    )
    await service.post(look(at=-30, metrics={"temperature_celsius": 94}))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"
    await service.post(look(at=-20, metrics={"temperature_celsius": 80}))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"


async def test_five_hundred_samples_of_many_machines_in_one_request(
    world: Any, service: Any, look: Any
) -> None:
    samples = [look(f"washer-{n % 50}", at=-n, fault_code="E1" if n < 50 else None) for n in range(500)]
    told = (await service.post(*samples)).json()
    assert told["accepted"] == 500
    assert len(await world.events()) == 50


async def test_the_body_that_is_read_by_hand_is_described(service: Any) -> None:
    described = (await service.client.get("/openapi.json")).json()["paths"]["/telemetry"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]["samples"]["items"]["properties"]) >= {"equipment_id", "metrics"}
    assert "$ref" not in str(schema)
