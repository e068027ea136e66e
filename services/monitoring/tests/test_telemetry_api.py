"""POST /telemetry against a real database: what is taken, and what becomes of it."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from laundry_testing.messaging import eventually
from monitoring.tables import fault

pytestmark = pytest.mark.servers


async def test_a_reported_code_makes_one_fault_until_it_clears(
    world: Any, service: Any, a_sample: Any
) -> None:
    answer = await service.post(a_sample(fault_code="E21"))
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"accepted": 1, "duplicate": 0, "ignored": 0, "refused": [], "problems": []}
    await service.post(a_sample(at=1, fault_code="E21"))
    [event] = await world.events()
    assert event["equipment_id"] == "washer-1"
    assert (event["cause"], event["fault_code"], event["branch_id"]) == ("fault_code", "E21", "b1")

    shown = (await service.get("/equipment/washer-1")).json()
    assert shown["state"] == "faulty"
    assert [found["id"] for found in shown["open_faults"]] == [event["fault_id"]]

    await service.post(a_sample(at=2))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"
    await service.post(a_sample(at=3, fault_code="E22"))
    assert [event["fault_code"] for event in await world.events()] == ["E21", "E22"]


async def test_the_same_sample_again_has_no_second_effect(world: Any, service: Any, a_sample: Any) -> None:
    once = a_sample(fault_code="E21")
    await service.post(once)
    told = (await service.post(once, a_sample(at=1, fault_code="E21"), once)).json()
    assert (told["accepted"], told["duplicate"], told["ignored"]) == (1, 2, 0)
    assert [(p["index"], p["code"]) for p in told["problems"]] == [(0, "duplicate"), (2, "duplicate")]
    assert len(await world.events()) == 1
    assert await world.samples("washer-1") == 2


async def test_another_code_of_the_same_moment_is_another_fault(
    world: Any, service: Any, a_sample: Any
) -> None:
    await service.post(a_sample())
    await service.post(a_sample(fault_code="E21"))
    await service.post(a_sample(fault_code="E99"), a_sample())
    assert [event["fault_code"] for event in await world.events()] == ["E21", "E99"]
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"


async def test_a_late_sample_without_a_code_ends_no_fault(world: Any, service: Any, a_sample: Any) -> None:
    await service.post(a_sample(at=-10, fault_code="E21"))
    told = (await service.post(a_sample(at=-60))).json()
    assert (told["accepted"], told["ignored"]) == (0, 1)
    assert told["problems"][0]["code"] == "late"
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"
    assert await world.samples("washer-1") == 2


async def test_each_sample_is_taken_or_refused_for_itself(world: Any, service: Any, a_sample: Any) -> None:
    answer = await service.post(
        a_sample("washer-1", fault_code="E21"),
        a_sample("washer-2", metrics={"temperature_celsius": -127, "spin_rpm": 800}, fault_code="E21"),
        a_sample("washer-3", recorded_at="20261128"),
        a_sample("washer-4", recorded_at="20261128", fault_code="E21"),
        a_sample("washer 5", fault_code="E21"),
        a_sample("washer-6", metrics={"temperature_fahrenheit": 160}),
        a_sample("washer-7", fault_code="door open!"),
        a_sample("washer-8", at=7200, fault_code="E21"),
    )
    assert answer.status_code == 202
    told = answer.json()
    assert (told["accepted"], told["duplicate"], told["ignored"]) == (6, 0, 0)
    assert [(p["index"], p["code"]) for p in told["refused"]] == [
        (2, "invalid-request"),
        (4, "invalid-request"),
    ]
    assert [(p["index"], p["code"]) for p in told["problems"]] == [
        (1, "impossible-value"),
        (3, "clock-unreadable"),
        (5, "unknown-metric"),
        (6, "fault-code-changed"),
        (7, "recorded-in-future"),
    ]
    events = {event["equipment_id"]: event for event in await world.events()}
    assert set(events) == {"washer-1", "washer-2", "washer-4", "washer-7", "washer-8"}
    assert {name for name, event in events.items() if event["clock_off"]} == {"washer-4", "washer-8"}
    assert events["washer-7"]["fault_code"] == "door_open_"
    assert events["washer-8"]["recorded_at"] > events["washer-8"]["received_at"]
    assert events["washer-4"]["recorded_at"] is None
    shown = (await service.get("/equipment/washer-2")).json()
    assert shown["last_sample"]["metrics"] == {"spin_rpm": 800}


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
async def test_the_ends_of_the_calendar_break_nothing(
    world: Any, service: Any, a_sample: Any, moment: str
) -> None:
    answer = await service.post(a_sample(recorded_at=moment, fault_code="E21"))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"
    await service.post(a_sample(at=5))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"


async def test_a_request_of_which_nothing_can_be_taken_is_refused(
    world: Any, service: Any, a_sample: Any
) -> None:
    for changes in ({"recorded_at": "2026-03-01T12:00:00"}, {"branch_id": "B 1"}, {"kind": ""}):
        refused = await service.post(a_sample(**changes))
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "invalid-request"
        assert refused.json()["problems"][0]["index"] == 0
    assert await world.events() == []
    assert (await service.get("/equipment")).json()["items"] == []


async def _make_due(world: Any) -> None:
    """Let the time be over for which faults are held."""
    waits = sa.and_(fault.c.due_at.is_not(None), fault.c.cleared_at.is_(None))
    await world.execute(sa.update(fault).where(waits).values(due_at=sa.func.now()))


async def _rang(world: Any, number: int) -> bool:
    return len(await world.events()) >= number


async def test_a_code_rings_though_its_clock_was_set_back(world: Any, a_sample: Any) -> None:
    async with world.replica(late_settle_s=0.5, ring_check_s=0.1) as service:
        for name, back in (("washer-1", 2 * 3600), ("washer-2", 240), ("washer-3", 26 * 3600)):
            await service.post(a_sample(name))
            told = (await service.post(a_sample(name, at=-back, fault_code="E21"))).json()
            assert told["accepted"] == 1
            assert told["problems"][0]["code"] == "clock-back"
            assert (await service.get(f"/equipment/{name}")).json()["state"] == "faulty"
        await eventually(lambda: _rang(world, 3), what="the three faults")
        events = await world.events()
        assert all(event["clock_off"] and event["recorded_at"] < event["received_at"] for event in events)


@pytest.mark.parametrize("order", ["as it happened", "newest first"])
async def test_an_hour_that_comes_late_rings_only_what_is_true_at_its_end(
    world: Any, a_sample: Any, order: str
) -> None:
    async with world.replica(late_settle_s=3600, ring_check_s=0.1) as service:
        hour = [
            a_sample(at=at, fault_code="E21" if -3000 <= at < -2400 else None) for at in range(-3600, -3, 4)
        ]
        also = [
            a_sample("washer-2", at=at, fault_code="E22" if at > -900 else None)
            for at in range(-3600, -600, 4)
        ]
        for samples in (hour, also):
            ordered = samples if order == "as it happened" else samples[::-1]
            for first in range(0, len(ordered), 100):
                assert (await service.post(*ordered[first : first + 100])).status_code == 202
        await _make_due(world)
        await eventually(lambda: _rang(world, 1), what="the fault that goes on")
        [event] = await world.events()
        assert (event["equipment_id"], event["fault_code"]) == ("washer-2", "E22")
        lag = datetime.fromisoformat(event["received_at"]) - datetime.fromisoformat(event["recorded_at"])
        assert lag > timedelta(minutes=9)
        shown = (await service.get("/equipment/washer-1")).json()
        assert shown["state"] == "ok"
        assert {(f["fault_code"], f["told_at"]) for f in shown["recent_faults"]} == {("E21", None)}


async def test_a_burst_of_codes_is_one_event_that_counts(world: Any, service: Any, a_sample: Any) -> None:
    await service.post(*(a_sample(at=-n / 100, fault_code=f"E{n}") for n in range(500)))
    [event] = await world.events()
    assert event["count"] == 500
    shown = (await service.get("/equipment/washer-1")).json()
    assert len(shown["open_faults"]) == 9
    [more] = [found for found in shown["open_faults"] if found["codes"]]
    assert more["count"] == len(more["codes"]) == 492

    await service.post(a_sample("washer-2", fault_code="E1"))
    assert [event["equipment_id"] for event in await world.events()] == ["washer-1", "washer-2"]
    await service.post(a_sample(at=1))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"


async def test_a_fault_that_comes_and_goes_rings_once_and_then_says_how_often(
    world: Any, a_sample: Any
) -> None:
    async with world.replica(flap_quiet_s=600, ring_check_s=0.1) as service:
        for turn in range(6):
            await service.post(a_sample(at=-10 + turn, fault_code=None if turn % 2 else "E21"))
        await service.post(a_sample(at=-3, fault_code="E21"))
        assert len(await world.events()) == 1
        [shown] = (await service.get("/equipment/washer-1")).json()["open_faults"]
        assert shown["flapping"] and shown["told_at"] is None and shown["due_at"]
        # Another fault of it, and the same of another machine, are no part of that.
        await service.post(a_sample(at=-2, fault_code="E99"), a_sample("washer-2", fault_code="E21"))
        assert len(await world.events()) == 3
        await _make_due(world)
        await eventually(lambda: _rang(world, 4), what="the ring after the quiet time")
        assert (await world.events())[-1]["count"] == 3


async def test_malformed_and_oversized_bodies_are_refused(world: Any, service: Any, a_sample: Any) -> None:
    bearer = world.bearer(world.operator)
    for raw, status, code in (
        (b'{"samples": [', 400, "malformed-json"),
        (b'{"samples": [{"metrics": {"temperature_celsius": NaN}}]}', 422, "invalid-request"),
        (b"[" * 5000, 400, "malformed-json"),
        (b" " * (1024 * 1024 + 1), 413, "telemetry-too-large"),
    ):
        refused = await service.client.post("/telemetry", content=raw, headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_a_device_posts_only_as_itself_and_only_for_its_branch(
    world: Any, service: Any, a_sample: Any
) -> None:
    device = world.token("device", "b1", sub="washer-1")
    assert (await service.post(a_sample(), token=device)).status_code == 202
    partly = (await service.post(a_sample(at=1), a_sample("washer-2"), token=device)).json()
    assert (partly["accepted"], partly["refused"][0]["code"]) == (1, "equipment-forbidden")
    foreign = await service.post(a_sample("washer-2"), token=device)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "equipment-forbidden")
    elsewhere = await service.post(a_sample(at=1, branch_id="b2"), token=device)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "branch-forbidden")
    assert await world.samples("washer-1") == 2
    assert await world.samples("washer-2") == 0


async def test_owners_post_nothing_and_strangers_nothing_at_all(
    world: Any, service: Any, a_sample: Any
) -> None:
    owner = await service.post(a_sample(), token=world.token("owner", "b1"))
    assert (owner.status_code, owner.json()["code"]) == (403, "role-forbidden")
    expired = await service.post(a_sample(), token=world.token("device", "b1", sub="washer-1", seconds=-60))
    assert (expired.status_code, expired.json()["code"]) == (401, "token-expired")
    missing = await service.client.post("/telemetry", json={"samples": [a_sample()]})
    assert (missing.status_code, missing.json()["code"]) == (401, "token-missing")


async def test_a_limit_broken_for_a_while_is_one_fault_with_its_figures(
    world: Any, service: Any, a_sample: Any
) -> None:
    hot = {"temperature_celsius": 97.5}
    for at in (-90, -80, -70):
        await service.post(a_sample(at=at, metrics=hot))
    assert await world.events() == []
    await service.post(
        a_sample(at=-60, metrics=hot), a_sample(at=-50, metrics=hot), a_sample(at=-40, metrics={})
    )
    [event] = await world.events()
    assert (event["cause"], event["metric"], event["value"], event["limit"]) == (
        "limit",
        "temperature_celsius",
        97.5,
        95,
    )
    await service.post(a_sample(at=-30, metrics={"temperature_celsius": 94}))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "faulty"
    await service.post(a_sample(at=-20, metrics={"temperature_celsius": 80}))
    assert (await service.get("/equipment/washer-1")).json()["state"] == "ok"


async def test_five_hundred_samples_of_many_machines_in_one_request(
    world: Any, service: Any, a_sample: Any
) -> None:
    samples = [a_sample(f"washer-{n % 50}", at=-n, fault_code="E1" if n < 50 else None) for n in range(500)]
    told = (await service.post(*samples)).json()
    assert told["accepted"] == 500
    assert len(await world.events()) == 50


async def test_the_body_that_is_read_by_hand_is_described(service: Any) -> None:
    described = (await service.client.get("/openapi.json")).json()["paths"]["/telemetry"]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    sample, _ = schema["properties"]["samples"]["items"]["anyOf"]
    assert set(sample["properties"]) >= {"equipment_id", "metrics"}
    assert "$ref" not in str(schema)


async def test_a_device_above_its_rate_is_told_when_to_come_back_and_others_are_not_held_up(
    world: Any, a_sample: Any
) -> None:
    washer, dryer = (world.token("device", "b1", sub=name) for name in ("washer-1", "dryer-1"))
    async with world.replica(device_rate=0.1, device_burst=20) as service:
        batch = [a_sample(at=-n) for n in range(25)]
        # One full batch is always possible, even beyond the burst.
        assert (await service.post(*batch, token=washer)).status_code == 202
        late = await service.post(a_sample(at=1), token=washer)
        assert (late.status_code, late.json()["code"]) == (429, "rate-exceeded")
        assert 30 <= int(late.headers["retry-after"]) <= 61
        assert (await service.post(a_sample("dryer-1"), token=dryer)).status_code == 202
    # Where the rate is higher, that time is short.
    async with world.replica(device_rate=10, device_burst=20) as service:
        assert (await service.post(*batch, token=washer)).status_code == 202
        await eventually(
            lambda: _is_taken(service, washer, a_sample), what="the device within its rate again"
        )


async def _is_taken(service: Any, token: str, a_sample: Any) -> bool:
    answer: httpx.Response = await service.post(a_sample(at=1), token=token)
    return answer.status_code == 202
