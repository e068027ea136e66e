"""What people see of equipment, and who may see it."""

import asyncio
import base64
import json
from typing import Any

import pytest
from prometheus_client import REGISTRY

pytestmark = pytest.mark.servers


async def test_people_see_their_branches_only(world: Any, service: Any, a_sample: Any) -> None:
    await service.post(
        a_sample("washer-1"), a_sample("dryer-1", kind="dryer", branch_id="b2", fault_code="D1")
    )
    owner = world.token("owner", "b1")
    listed = (await service.get("/equipment", token=owner)).json()
    assert [item["id"] for item in listed["items"]] == ["washer-1"]
    assert listed["items"][0]["last_sample"]["metrics"] == {"temperature_celsius": 60.0}
    foreign = await service.get("/equipment", token=owner, branch_id="b2")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "branch-forbidden")
    hidden = await service.get("/equipment/dryer-1", token=owner)
    unknown = await service.get("/equipment/none", token=owner)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "equipment-unknown")
    assert hidden.json()["detail"] == unknown.json()["detail"]
    assert (await service.get("/equipment", token=world.token("customer"))).status_code == 403
    assert (await service.get("/equipment/stream", token=owner, branch_id="b2")).status_code == 403


async def test_lists_are_filtered_and_paged(world: Any, service: Any, a_sample: Any) -> None:
    for number in range(5):
        await service.post(a_sample(f"washer-{number}", fault_code="E1" if number == 3 else None))
    await service.post(a_sample("dryer-1", kind="dryer"))

    seen, cursor = [], None
    while True:
        query = {"limit": 4, **({"cursor": cursor} if cursor else {})}
        page = (await service.get("/equipment", token=world.token("helper", "b1"), **query)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["dryer-1", *(f"washer-{number}" for number in (4, 3, 2, 1, 0))]
    faulty = (await service.get("/equipment", state="faulty")).json()["items"]
    assert [(item["id"], item["open_faults"][0]["fault_code"]) for item in faulty] == [("washer-3", "E1")]
    assert len((await service.get("/equipment", state="ok", kind="washer")).json()["items"]) == 4
    for odd in (
        '["2026-01-01T00:00:00", "w"]',
        '["0001-01-01T00:00:00+00:00", "w"]',
        '["9999-12-31T23:59:59-23:59", "w"]',
        '["2026-01-01T00:00:00Z", "a\\u0000"]',
        '["x", 1]',
        "[]",
        "{",
    ):
        bad = await service.get("/equipment", cursor=base64.urlsafe_b64encode(odd.encode()).decode())
        assert (bad.status_code, bad.json()["code"]) == (422, "cursor-invalid"), odd
    for path in ("/equipment/a%00b", "/equipment/%ED%95%9C", "/equipment/a.b"):
        odd_id = await service.get(path)
        assert odd_id.status_code == 404, path
        assert odd_id.json()["code"] == ("not-found" if "%00" in path else "equipment-unknown")


async def test_an_operator_retires_equipment_that_is_gone(world: Any, service: Any, a_sample: Any) -> None:
    await service.post(a_sample(fault_code="E1"))
    owner = world.bearer(world.token("owner", "b1"))
    assert (await service.client.delete("/equipment/washer-1", headers=owner)).status_code == 403
    operator = world.bearer(world.operator)
    assert (await service.client.delete("/equipment/washer-1", headers=operator)).status_code == 204
    assert (await service.client.delete("/equipment/washer-1", headers=operator)).status_code == 404
    assert (await service.get("/equipment")).json()["items"] == []
    [cleared] = await world.faults("washer-1")
    assert cleared.cleared_by == "retired"
    records = (await service.get("/equipment/audit")).json()
    assert [(r["action"], r["object"], r["role"], r["reason"], r["outcome"]) for r in records["items"]] == [
        ("equipment.retire", "washer-1", "operator", None, "done")
    ]
    assert (await service.client.get("/equipment/audit", headers=owner)).status_code == 403
    # It comes back as new: the same trouble is told again.
    await service.post(a_sample(at=1, fault_code="E1"))
    assert len(await world.events()) == 2


async def test_the_stream_tells_a_branch_what_it_has_no_more(world: Any, service: Any, a_sample: Any) -> None:
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def listen(branch: str) -> None:
        bearer = world.bearer(world.token("owner", branch))
        async with service.client.stream("GET", "/equipment/stream", headers=bearer, timeout=20) as answer:
            event = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.put_nowait((branch, event, json.loads(line.removeprefix("data: ")).get("id")))

    async with asyncio.timeout(60):
        await service.post(a_sample())
        listening = [asyncio.create_task(listen(branch)) for branch in ("b1", "b2")]
        assert {(await told.get())[:2] for _ in listening} == {("b1", "ready"), ("b2", "ready")}
        # Another machine of the same name; those of one name are read together.
        await service.post(a_sample(at=1, branch_id="b2"))
        assert {await told.get() for _ in listening} == {
            ("b1", "equipment", "washer-1"),
            ("b2", "equipment", "washer-1"),
        }
        gone = await service.client.delete(
            "/equipment/washer-1", params={"branch_id": "b1"}, headers=world.bearer(world.operator)
        )
        assert gone.status_code == 204
        assert {await told.get() for _ in listening} == {
            ("b1", "gone", "washer-1"),
            ("b2", "equipment", "washer-1"),
        }
        service.app.state.stopping.set()
        await asyncio.gather(*listening)


async def test_the_stream_tells_what_changes_in_any_replica(world: Any, service: Any, a_sample: Any) -> None:
    bearer = world.bearer(world.token("owner", "b1"))
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def listen() -> None:
        async with service.client.stream("GET", "/equipment/stream", headers=bearer, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            event = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.put_nowait((event, json.loads(line.removeprefix("data: "))))

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(told.get(), 20) == ("ready", {})
    async with world.replica() as other:
        await other.post(a_sample("washer-9", branch_id="b2", fault_code="E1"))
        await other.post(a_sample(fault_code="E21"))
    event, shown = await asyncio.wait_for(told.get(), 20)
    assert (event, shown["id"], shown["state"]) == ("equipment", "washer-1", "faulty")
    await service.post(a_sample(at=1))
    _, shown = await asyncio.wait_for(told.get(), 20)
    assert shown["state"] == "ok"

    # Stopping the service ends the stream at once; nobody waits for the other.
    service.app.state.stopping.set()
    await asyncio.wait_for(listening, 20)


async def test_a_device_makes_no_new_series_by_naming_a_kind(service: Any, a_sample: Any) -> None:
    labels = {"cause": "fault_code", "kind": "other"}
    before = REGISTRY.get_sample_value("laundry_faults_opened_total", labels) or 0
    await service.post(
        a_sample("m1", kind="made-up-1", fault_code="E1"), a_sample("m2", kind="made-up-2", fault_code="E1")
    )
    assert REGISTRY.get_sample_value("laundry_faults_opened_total", labels) == before + 2
