"""Photos in: registered at once and exactly once, whatever else is away."""

import asyncio
import hashlib
import json
from datetime import timedelta

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from helper import repository, tables
from helper.app import create_app
from helper.repository import submissions
from helper.service.housekeeping import forget
from helper.tasks import Task
from laundry_events.dsn import plain_dsn
from laundry_reading.bare import bare
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.s3 import client
from laundry_testing.serving import serving

from .conftest import MakeSettings, Service, picture

pytestmark = pytest.mark.servers


def stored(bucket: Bucket) -> list[str]:
    listed = client(bucket.store).list_objects_v2(Bucket=bucket.name)
    return [item["Key"] for item in listed.get("Contents", [])]


async def test_an_upload_is_a_task_that_says_what_was_taken(alone: Service) -> None:
    photo = picture()
    answer = await alone.upload(photo, note="two bags")
    assert answer.status_code == 201, answer.text
    task = answer.json()
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert task["photo"] == {
        "media_type": "image/jpeg",
        "bytes": len(photo),
        "sha256": hashlib.sha256(photo).hexdigest(),
        "deleted_at": None,
    }
    assert (task["status"], task["branch_id"], task["helper_id"]) == ("submitted", "b1", "helper-1")
    assert (task["reading"], task["confirmation"], task["note"]) == (None, None, "two bags")
    assert task["submitted_at"].endswith("Z")
    shown = await alone.get(answer.headers["location"])
    assert shown.json() == task


async def test_a_task_is_told_to_the_broker(service: Service, messaging: Messaging) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = service.identity.bearer("helper", "b1") | {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    task = (await service.upload(headers=headers)).json()
    message = await messaging.take("task.submitted")
    event = json.loads(message.body)
    assert str(message.headers["traceparent"]).split("-")[1] == trace_id
    assert message.headers["cloudEvents_type"] == "TaskSubmitted"
    assert (event["task_id"], event["task_version"]) == (task["id"], 1)
    assert event["photo"]["sha256"] == task["photo"]["sha256"]
    assert event["photo"]["key"].startswith("photos/b1/")
    assert event["photo"]["key"].endswith(f"{task['id']}.jpg")


async def test_the_photo_comes_back_as_it_was_but_for_what_it_tells_of_its_taker(alone: Service) -> None:
    photo = picture(2000, 1500, quality=97)
    task = (await alone.upload(photo)).json()
    original, headers = f"/tasks/{task['id']}/photo?size=original", alone.identity.bearer("operator")
    answer = await alone.get(original, headers=headers)
    assert (answer.status_code, answer.content) == (200, bare(photo))
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in answer.headers["vary"]
    etag = answer.headers["etag"]
    assert etag == f'"{hashlib.sha256(bare(photo)).hexdigest()}"'
    again = await alone.get(original, headers=headers | {"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("role", "branch", "status"), [("owner", "b2", 403), (None, None, 401)])
async def test_a_photo_that_a_browser_keeps_is_shown_to_nobody_else(
    alone: Service, role: str | None, branch: str | None, status: int
) -> None:
    task = (await alone.upload()).json()
    known = {"If-None-Match": (await alone.get(f"/tasks/{task['id']}/photo")).headers["etag"]}
    bearer = {"Authorization": "Bearer e30.e30.forged"}
    if role is not None and branch is not None:
        bearer = alone.identity.bearer(role, branch)
    answer = await alone.get(f"/tasks/{task['id']}/photo", headers=bearer | known)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"


async def test_racing_requests_make_one_task(alone: Service, bucket: Bucket) -> None:
    keyed = await asyncio.gather(*(alone.upload(key="k1") for _ in range(5)))
    unkeyed = await asyncio.gather(*(alone.upload() for _ in range(5)))
    for answers in (keyed, unkeyed):
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert sum("idempotent-replay" not in answer.headers for answer in answers) == 1
    assert len(stored(bucket)) == 2, "photos of repeated uploads are deleted again"


async def test_what_makes_two_uploads_one_task(alone: Service, database_url: str) -> None:
    photo, other = picture(colour=1), picture(colour=2)
    first = (await alone.upload(photo, key="k1")).json()["id"]
    assert (await alone.upload(photo, key="k1")).json()["id"] == first
    assert_problem(await alone.upload(other, key="k1"), 422, "idempotency-key-reused")
    assert_problem(await alone.upload(photo, key="k1", branch="b2"), 422, "idempotency-key-reused")
    assert_problem(await alone.upload(photo, key="k1", note="of the towels"), 422, "idempotency-key-reused")
    unkeyed = (await alone.upload(photo)).json()["id"]
    somebody = alone.identity.bearer("helper", "b1", sub="helper-2")
    others = [
        (await alone.upload(photo, key="k2")).json()["id"],
        (await alone.upload(photo, branch="b2")).json()["id"],
        (await alone.upload(photo, headers=somebody)).json()["id"],
        (await alone.upload(photo, headers=somebody, key="k1")).json()["id"],
    ]
    assert len({first, unkeyed, *others}) == 6
    assert (await alone.upload(photo)).json()["id"] == unkeyed

    connection = await asyncpg.connect(plain_dsn(database_url))
    try:
        await connection.execute("UPDATE submissions SET expires_at = now() WHERE expires_at IS NOT NULL")
        count = "SELECT count(*) FROM submissions"
        assert (await alone.upload(photo)).json()["id"] != unkeyed, "after a day it is another load"
        assert (await alone.upload(photo, key="k1")).json()["id"] == first
        database = Database(database_url, pool=1)
        before = await connection.fetchval(count)
        assert (await forget(database, tasks_kept=timedelta(days=1095)))[0] == 2
        assert await connection.fetchval(count) == before - 2
        await database.close()
    finally:
        await connection.close()


@pytest.mark.parametrize(("swept", "status"), [(1, 201), (100, 503)], ids=["once", "each time"])
async def test_a_key_that_is_deleted_while_it_is_looked_up_is_claimed_again(
    alone: Service, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, swept: int, status: int
) -> None:
    first = (await alone.upload()).json()["id"]
    look_up, looks = submissions.submitted, 0

    async def submitted(connection: AsyncConnection, helper_id: str, key: str) -> Task | None:
        nonlocal looks
        looks += 1
        if looks > swept:
            return await look_up(connection, helper_id, key)
        if swept == 1:
            await connection.execute(sa.delete(tables.submissions))
        return None

    monkeypatch.setattr(submissions, "submitted", submitted)
    answer = await alone.upload()
    assert answer.status_code == status, answer.text
    there = {task["id"] for task in (await alone.get("/tasks")).json()["items"]}
    assert there == {first} | ({answer.json()["id"]} if status == 201 else set())
    assert len(stored(bucket)) == len(there)


async def test_a_photo_store_that_is_away_is_told_and_leaves_nothing(
    make_settings: MakeSettings, alone: Service, identity: FileIdentity
) -> None:
    settings = make_settings(s3_endpoint_url="http://127.0.0.1:1")
    async with serving(create_app(settings)) as http:
        away = Service(http, identity)
        answer = await away.upload(key="k1")
        assert_problem(answer, 503, "photo-store-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        # Lists and confirmations need no photo store, so the service stays in use and says what is away.
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (200, "ok")
        assert ready.json()["checks"]["photo store"] != "ok"
    assert (await alone.get("/tasks")).json()["items"] == []
    assert "idempotent-replay" not in (await alone.upload(key="k1")).headers


async def test_a_database_that_is_away_is_told_and_leaves_no_photo(
    make_settings: MakeSettings, identity: FileIdentity, bucket: Bucket
) -> None:
    settings = make_settings(database_url="postgresql+asyncpg://nobody:x@127.0.0.1:1/none")
    async with serving(create_app(settings)) as http:
        away = Service(http, identity)
        answer = await away.upload()
        assert_problem(answer, 503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert_problem(await away.get("/tasks"), 503, "database-unavailable")
        assert (await http.get("/livez")).status_code == 200
    assert stored(bucket) == []


async def test_a_restarted_database_costs_no_upload(alone: Service, database_url: str) -> None:
    assert (await alone.upload()).status_code == 201
    connection = await asyncpg.connect(plain_dsn(database_url))
    # Each is waited for: one that still served would answer the first uploads and hang up on the last.
    # The answer is false for one that had ended by itself, so it is not looked at.
    ended = await connection.fetch(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert ended
    await connection.close()
    # The server has hung up, which the other end hears a moment later: either is right, a 500 is not.
    answers = [await alone.upload(picture(colour=3 + n)) for n in range(3)]
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert answers[-1].status_code == 201


async def test_ready_and_uploading_without_a_broker(alone: Service, database_url: str) -> None:
    ready = await alone.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["publisher"] != "ok"
    assert (await alone.upload()).status_code == 201
    database = Database(database_url, pool=1)
    async with repository.single(database) as connection:
        waiting = (await connection.exec_driver_sql("SELECT routing_key FROM outbox")).scalars().all()
    await database.close()
    assert waiting == ["task.submitted"]
