"""Redrive and discard, on a real broker, also when the process is killed in the middle."""

import asyncio
from collections import Counter
from functools import partial

import httpx
import pytest
from pydantic import ValidationError

from laundry_events.plan import DEAD_EXCHANGE
from laundry_servers.ports import free_port
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.processes import ServiceProcesses
from laundry_testing.serving import serving
from operations.app import create_app
from operations.settings import Settings

from .conftest import DEAD, FAILED, QUEUE, World, bury, holds

pytestmark = pytest.mark.servers
REDRIVE, DISCARD = "/dead-letters/redrive", "/dead-letters/discard"


async def test_a_dry_run_changes_nothing_and_then_exactly_its_letters_go_back(world: World) -> None:
    await bury(world.messaging, "m1", "m2", **{"x-redriven": 1})
    await bury(world.messaging, "m3", **{"x-dead-reason": "malformed"})
    plan = await world.post(REDRIVE, 200, queue=QUEUE, reason="retries-exhausted")
    assert (plan["state"], plan["total"]) == ("planned", 2)
    assert plan["preview"]["groups"][0]["redriven"] == 1
    await holds(world.messaging, DEAD, 3)
    await bury(world.messaging, "m4")
    await world.post(REDRIVE, 422, queue=QUEUE, dry_run=False, plan=plan["id"])
    job = await world.post(
        REDRIVE, 202, sub="kim", queue=QUEUE, dry_run=False, plan=plan["id"], why="mended", rate=1000
    )
    done = await world.ended(job["id"])
    assert (done["state"], done["done"], done["missing"]) == ("succeeded", 2, 0)
    await holds(world.messaging, DEAD, 2)
    back = [await world.messaging.take(QUEUE) for _ in range(2)]
    assert [message.message_id for message in back] == ["m1", "m2"]
    assert (back[0].headers["x-redriven"], back[0].headers["x-redriven-by"]) == (2, "kim")
    assert not [name for name in back[0].headers if name.startswith(("x-attempt", "x-dead", "x-error"))]
    await world.post(REDRIVE, 409, queue=QUEUE, dry_run=False, plan=plan["id"], why="again")
    *records, begun = (await world.get("/audit"))["items"]
    assert (begun["action"], begun["object"], begun["by"], begun["role"], begun["reason"]) == (
        "job.begin",
        job["id"],
        "kim",
        "operator",
        "mended",
    )
    assert [(record["id"], record["by"], record["via"], record["reason"]) for record in records] == [
        ("m2", "kim", "api", "mended"),
        ("m1", "kim", "api", "mended"),
    ]
    stream = await world.http.get(f"/jobs/{job['id']}/stream", headers=world.operator())
    assert '"state":"succeeded"' in stream.text.replace(" ", "")


async def test_a_discard_needs_a_plan_and_takes_only_what_was_seen(world: World) -> None:
    await bury(world.messaging, "m1")
    await world.post(DISCARD, 409, queue=QUEUE, dry_run=False, why="no use")
    plan = await world.post(DISCARD, 200, queue=QUEUE)
    await bury(world.messaging, "m2")
    job = await world.post(DISCARD, 202, queue=QUEUE, dry_run=False, plan=plan["id"], why="no use")
    assert (await world.ended(job["id"]))["done"] == 1
    await holds(world.messaging, DEAD, 1)
    assert await world.messaging.count(QUEUE) == 0
    [record] = (await world.get("/audit", queue=QUEUE))["items"]
    assert (record["action"], record["id"], record["by"]) == ("discard", "m1", "op-1")


async def test_two_operators_at_once_send_each_letter_once(world: World) -> None:
    ids = [f"m{number:02}" for number in range(30)]
    await bury(world.messaging, *ids)
    body = {"queue": QUEUE, "dry_run": False, "rate": 1000}
    jobs = await asyncio.gather(
        *(world.post(REDRIVE, 202, sub=who, why="mended", **body) for who in ("kim", "lee"))
    )
    ended = [await world.ended(job["id"]) for job in jobs]
    assert [job["state"] for job in ended] == ["succeeded"] * 2
    assert sum(job["done"] for job in ended) == 30
    await holds(world.messaging, DEAD, 0)
    back = Counter([(await world.messaging.take(QUEUE)).message_id for _ in ids])
    assert back == Counter(ids)
    assert await world.messaging.count(QUEUE) == 0


async def test_a_letter_that_is_the_same_in_two_queues_is_sent_back_to_both(world: World) -> None:
    both = (QUEUE, "task.confirmed")
    for queue in both:
        await world.messaging.publish_raw(
            DEAD_EXCHANGE, f"{queue}.dlq", b"{}", headers=FAILED, message_id="m1"
        )
    for queue in both:
        job = await world.post(REDRIVE, 202, queue=queue, dry_run=False, why="mended")
        assert (await world.ended(job["id"]))["done"] == 1
        assert (await world.messaging.take(queue)).message_id == "m1"
        await holds(world.messaging, f"{queue}.dlq", 0)


async def test_a_job_can_be_stopped_and_goes_on(world: World) -> None:
    await bury(world.messaging, *(f"m{number}" for number in range(8)))
    job = await world.post(REDRIVE, 202, queue=QUEUE, dry_run=False, rate=0.5, why="slowly")

    async def begun() -> bool:
        return bool((await world.get(f"/jobs/{job['id']}"))["done"])

    await eventually(begun, what="the first letter")
    assert (await world.post(f"/jobs/{job['id']}/cancel", 200))["state"] == "cancelled"
    await world.post(f"/jobs/{job['id']}/cancel", 409)
    assert (await world.post(f"/jobs/{job['id']}/resume", 200))["state"] == "queued"


async def test_kill_9_in_the_middle_loses_nothing_and_the_next_process_goes_on(
    settings: Settings,
    database_url: str,
    messaging: Messaging,
    identity: FileIdentity,
    processes: ServiceProcesses,
) -> None:
    ids = [f"m{number:03}" for number in range(120)]
    await bury(messaging, *ids)
    start = partial(
        processes.start,
        "operations",
        service_name="operations",
        port=free_port(),
        amqp_url=settings.amqp_url.get_secret_value(),
        database_url=database_url,
        management_urls=f'["{settings.management_urls[0]}"]',
        **identity.settings,
    )
    running = start()
    async with httpx.AsyncClient(base_url=running.url, timeout=10) as http:
        world = World(http, identity, messaging)
        await running.ready()
        job = await world.post(
            REDRIVE, 202, queue=QUEUE, dry_run=False, rate=60, why="mended", limit=len(ids)
        )

        async def half_done() -> bool:
            return int((await world.get(f"/jobs/{job['id']}"))["done"]) >= 20

        await eventually(half_done, what="a part of the job")
        running.process.kill()
        await asyncio.to_thread(running.process.wait)
        await start().ready()
        done = await world.ended(job["id"])
    assert (done["state"], done["done"], done["missing"]) == ("succeeded", len(ids), 0)
    await holds(messaging, DEAD, 0)
    arrived: Counter[str | None] = Counter()
    for _ in range(await messaging.count(QUEUE)):
        arrived[(await messaging.take(QUEUE)).message_id] += 1
    assert set(arrived) == set(ids), "a letter was lost"
    assert sum(arrived.values()) <= len(ids) + 1, "more than the one copy in flight was sent twice"


async def test_whoever_resumes_a_job_answers_for_what_is_done_from_then_on(world: World) -> None:
    await bury(world.messaging, *(f"m{number}" for number in range(6)))
    plan = await world.post(REDRIVE, 200, queue=QUEUE)
    job = await world.post(
        REDRIVE, 202, sub="kim", queue=QUEUE, dry_run=False, plan=plan["id"], why="mended", rate=0.5
    )

    async def treated() -> bool:
        return bool((await world.get(f"/jobs/{job['id']}"))["done"])

    await eventually(treated, what="the first letter")
    await world.post(f"/jobs/{job['id']}/cancel", 200, sub="lee")
    # At once: whoever carries the job out has not noticed yet that it was stopped.
    resumed = await world.post(f"/jobs/{job['id']}/resume?reason=it+was+right", 200, sub="park")
    assert (resumed["by"], resumed["why"]) == ("park", "it was right")
    records = [
        record for record in (await world.get("/audit"))["items"] if record["action"].startswith("job.")
    ]
    assert [(record["action"], record["by"], record["reason"]) for record in records] == [
        ("job.resume", "park", "it was right"),
        ("job.cancel", "lee", None),
        ("job.begin", "kim", "mended"),
    ]
    assert {record["object"] for record in records} == {job["id"]}

    async def by_the_second() -> bool:
        found = [record for record in (await world.get("/audit"))["items"] if record["action"] == "redrive"]
        by = [record["by"] for record in reversed(found)]
        assert set(by) <= {"kim", "park"}
        # In the order in which they were treated: none is kim's once one is park's.
        assert by == sorted(by)
        return bool(by[-1] == "park")

    await eventually(by_the_second, what="a letter in the name of who resumed it", within_s=30)
    await world.post(f"/jobs/{job['id']}/cancel", 200, sub="park")


async def test_what_changes_nothing_is_in_no_audit(world: World) -> None:
    await bury(world.messaging, "m1")
    plan = await world.post(REDRIVE, 200, queue=QUEUE)
    await world.post(f"/jobs/{plan['id']}/resume", 409)
    await world.post(f"/jobs/{plan['id']}/cancel", 409)
    await world.post(DISCARD, 409, queue=QUEUE, dry_run=False, plan=plan["id"], why="another action's plan")
    assert (await world.get("/audit"))["items"] == []


async def test_what_no_database_can_hold_is_refused(world: World) -> None:
    for asked in (
        {"queue": QUEUE, "why": "a\x00b", "dry_run": False},
        {"queue": "a\x00b"},
        {"queue": QUEUE, "reason": "\x00"},
        {"queue": QUEUE, "ids": ["\x00"]},
        {"queue": QUEUE, "limit": 10**30},
    ):
        for path in (REDRIVE, DISCARD):
            await world.post(path, 422, **asked)
    answer = await world.http.get("/audit", headers=world.operator(), params={"cursor": 10**30})
    assert answer.status_code == 422


async def test_jobs_on_more_queues_than_there_are_connections_end_and_keep_nobody_waiting(
    settings: Settings,
    database_url: str,
    messaging: Messaging,
    identity: FileIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine may be slow to answer; nobody who waits for a connection is answered at all.
    monkeypatch.setattr("laundry_service.http.health.CHECK_TIMEOUT_S", 60)
    queues = ("task.submitted", "task.read", "task.confirmed")
    for queue in queues:
        for number in range(3):
            await messaging.publish_raw(
                DEAD_EXCHANGE, f"{queue}.dlq", b"{}", headers=FAILED, message_id=f"{queue}-{number}"
            )
    tight = settings.model_copy(update={"database_pool": 2, "job_step_s": 0.2})
    async with serving(create_app(tight)) as http:
        world = World(http, identity, messaging)
        jobs = await asyncio.gather(
            *(world.post(REDRIVE, 202, queue=queue, dry_run=False, rate=5, why="mended") for queue in queues)
        )

        async def ended(job: str) -> str:
            while True:
                async with asyncio.timeout(10):
                    assert (await http.get("/readyz")).status_code == 200
                    found = await world.get(f"/jobs/{job}")
                if found["state"] not in ("queued", "running"):
                    return str(found["state"])
                await asyncio.sleep(0.1)

        async with asyncio.timeout(60):
            states = [await ended(job["id"]) for job in jobs]
    assert states == ["succeeded"] * 3
    for queue in queues:
        await holds(messaging, f"{queue}.dlq", 0)


def test_one_connection_is_too_few(settings: Settings) -> None:
    with pytest.raises(ValidationError, match="database_pool"):
        Settings(**{**settings.model_dump(exclude_unset=True), "database_pool": 1})
