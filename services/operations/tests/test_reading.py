"""What an operator reads of queues and dead letters."""

import pytest

from laundry_events.plan import DEAD_EXCHANGE
from laundry_testing.messaging import eventually
from laundry_testing.serving import metrics_text
from operations.service import sampling

from .conftest import DEAD, FAILED, QUEUE, World, bury, holds

pytestmark = pytest.mark.servers


async def test_queues_show_consumers_dead_letters_and_what_is_wrong(world: World) -> None:
    await bury(world.messaging, "m1")
    found = {queue["name"]: queue for queue in (await world.get("/queues"))["items"]}
    assert {"task.submitted", QUEUE, "equipment.fault", "model.promoted"} <= found.keys()
    assert (found[QUEUE]["consumers"], found[QUEUE]["state"]) == (0, "running")
    assert "no-consumers" in found[QUEUE]["warnings"]
    assert found[QUEUE]["oldest_age_s"] is None, "it holds nothing"


async def test_alerts_see_the_queues_in_the_metrics(world: World) -> None:
    await bury(world.messaging, "m1")
    sampling.hide()

    async def told() -> bool:
        metrics = metrics_text()
        return f'laundry_dead_letters{{queue="{QUEUE}"}} 1.0' in metrics

    await eventually(told, what="the dead letter in the metrics")


async def test_letters_are_grouped_paged_and_stay_in_order(world: World) -> None:
    await bury(world.messaging, "m1", "m2", "m3")
    await bury(world.messaging, "m4", **{"x-dead-reason": "malformed", "x-redriven": 2})
    page = await world.get("/dead-letters", queue=DEAD, limit=3)
    assert [letter["id"] for letter in page["items"]] == ["m1", "m2", "m3"]
    assert [(group["reason"], group["count"], group["redriven"]) for group in page["groups"]] == [
        ("retries-exhausted", 3, 0),
        ("malformed", 1, 1),
    ]
    [looked] = page["queues"]
    assert (looked["waiting"], looked["looked_at"]) == (4, 4)
    [last] = (await world.get("/dead-letters", queue=DEAD, limit=3, cursor=page["next_cursor"]))["items"]
    assert (last["id"], last["redriven"]) == ("m4", 2)
    everywhere = await world.get("/dead-letters", reason="malformed")
    assert [letter["id"] for letter in everywhere["items"]] == ["m4"]
    await holds(world.messaging, DEAD, 4)
    taken = [(await world.messaging.take(DEAD)).message_id for _ in range(4)]
    assert taken == ["m1", "m2", "m3", "m4"], "reading changed the order"


async def test_a_letter_that_is_the_same_in_two_queues_is_listed_twice_and_has_an_audit_of_its_own(
    world: World,
) -> None:
    both = ("photo.deleted", QUEUE)
    for queue in both:
        await world.messaging.publish_raw(
            DEAD_EXCHANGE, f"{queue}.dlq", b"{}", headers=FAILED, message_id="m1"
        )
    found: list[str] = []
    cursor: dict[str, str] = {}
    while len(found) < len(both):
        page = await world.get("/dead-letters", limit=1, **cursor)
        found += [letter["queue"] for letter in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(found) == sorted(both) and page["next_cursor"] is None
    job = await world.post("/dead-letters/redrive", 202, queue=QUEUE, dry_run=False, why="mended")
    await world.ended(job["id"])
    assert (await world.get("/dead-letters/photo.deleted/m1"))["audit"] == []


async def test_one_letter_shows_why_headers_body_and_trace(world: World) -> None:
    await bury(world.messaging, "m1")
    letter = await world.get(f"/dead-letters/{QUEUE}/m1")
    assert letter["error_message"] == "the database is away"
    assert letter["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert '"task_id":"m1"' in letter["body"].replace(" ", "")
    assert letter["audit"] == []
    missing = await world.http.get(f"/dead-letters/{QUEUE}/nobody", headers=world.operator())
    assert (missing.status_code, missing.json()["code"]) == (404, "letter-unknown")


@pytest.mark.parametrize("path", ["/queues", "/dead-letters", "/jobs", "/audit"])
async def test_nobody_but_an_operator_looks(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 401
    owner = await world.http.get(path, headers=world.identity.bearer("owner", "b1"))
    assert (owner.status_code, owner.json()["code"]) == (403, "role-forbidden")


async def test_a_strange_queue_and_cursor_are_told(world: World) -> None:
    for query, status in (({"queue": "nope"}, 404), ({"cursor": "???"}, 422)):
        answer = await world.http.get("/dead-letters", headers=world.operator(), params=query)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
