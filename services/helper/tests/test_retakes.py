"""Several photos of one load, photos that are taken again, and what owners corrected."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository, tables
from helper.repository import submissions
from helper.tasks import submission_key
from laundry_events import Publisher
from laundry_service.storage.database import Database
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem

from .conftest import MakeSettings, Service, picture, reading

pytestmark = pytest.mark.servers


async def retake(
    service: Service, *replaced: str, key: str | None = None, colour: int = 7, **fields: Any
) -> Any:
    headers = fields.pop("headers", None)
    return await service.upload(
        picture(colour=colour), key=key, headers=headers, replaces=list(replaced), **fields
    )


async def listed(service: Service, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await service.get(f"/tasks{query}")).json()["items"]
    return items


async def test_photos_of_one_load_tell_it(alone: Service) -> None:
    for colour in (1, 2):
        answer = await alone.upload(picture(colour=colour), load_id="load-1")
        assert (answer.status_code, answer.json()["load_id"]) == (201, "load-1")
    await alone.upload(picture(colour=3))
    assert [task["load_id"] for task in await listed(alone)] == [None, "load-1", "load-1"]
    assert_problem(await alone.upload(picture(colour=4), load_id="no load"), 422, "load-invalid")


async def test_a_photo_taken_again_replaces_the_one_before(service: Service, reader: Publisher) -> None:
    first = (await service.upload(picture(colour=1), load_id="load-1")).json()
    answer = await retake(service, f"task:{first['id']}", key="second", load_id="load-1")
    second = answer.json()
    assert answer.status_code == 201, second
    assert [task["id"] for task in await listed(service)] == [second["id"]]
    [withdrawn] = await listed(service, "?status=withdrawn")
    assert (withdrawn["id"], withdrawn["replaced_by"]) == (first["id"], second["id"])
    # Its reading comes too late, and nobody confirms it.
    await reader.publish(reading(first, "hat"))
    await reader.publish(reading(second, "shirt"))
    await service.has_status(second["id"], "read")
    assert (await service.get(f"/tasks/{first['id']}")).json()["status"] == "withdrawn"
    assert_problem(await service.confirm(first["id"]), 409, "task-withdrawn")
    # Sent again, because the answer was lost: the same task, and nothing more is withdrawn.
    again = await retake(service, f"task:{first['id']}", key="second", load_id="load-1")
    assert (again.json()["id"], again.headers["Idempotent-Replay"]) == (second["id"], "true")
    assert len(await listed(service)) == 1


async def test_an_upload_whose_answer_never_came_is_replaced_whether_it_arrived_or_not(
    alone: Service,
) -> None:
    arrived = (await alone.upload(picture(colour=1), key="arrived")).json()
    instead = (await retake(alone, "key:arrived", "key:under-way", key="again", colour=2)).json()
    assert [task["id"] for task in await listed(alone)] == [instead["id"]]
    assert (await alone.get(f"/tasks/{arrived['id']}")).json()["replaced_by"] == instead["id"]
    # What was still on its way comes now, and makes no task.
    late = await alone.upload(picture(colour=3), key="under-way")
    assert_problem(late, 422, "idempotency-key-reused")
    assert [task["id"] for task in await listed(alone)] == [instead["id"]]


async def test_a_late_upload_and_its_retake_make_one_task_however_they_race(alone: Service) -> None:
    for number in range(6):
        await asyncio.gather(
            alone.upload(picture(colour=number), key=f"old-{number}"),
            retake(alone, f"key:old-{number}", key=f"new-{number}", colour=100 + number),
        )
    tasks = await listed(alone)
    assert len(tasks) == 6
    assert {task["status"] for task in tasks} == {"submitted"}
    assert len({task["photo"]["sha256"] for task in tasks}) == 6
    for task in await listed(alone, "?status=withdrawn"):
        assert task["replaced_by"] in {kept["id"] for kept in tasks}


async def test_what_cannot_be_replaced_is_told_and_nothing_is_registered(
    service: Service, reader: Publisher, bucket: Bucket
) -> None:
    confirmed = (await service.upload(picture(colour=1))).json()
    await reader.publish(reading(confirmed))
    await service.has_status(confirmed["id"], "read")
    assert (await service.confirm(confirmed["id"])).status_code == 200
    other_helper = service.identity.bearer("helper", "b1", sub="helper-2")
    other_branch = service.identity.bearer("helper", "b2")
    for replaced, status, code, fields in (
        (f"task:{confirmed['id']}", 409, "replaced-task-confirmed", {}),
        (f"task:{confirmed['id']}", 404, "replaced-task-not-found", {"headers": other_helper}),
        (
            f"task:{confirmed['id']}",
            404,
            "replaced-task-not-found",
            {"headers": other_branch, "branch": "b2"},
        ),
        ("task:01890000-0000-7000-8000-000000000000", 404, "replaced-task-not-found", {}),
        ("task:1", 422, "replaces-invalid", {}),
        ("photo:1", 422, "replaces-invalid", {}),
    ):
        assert_problem(await retake(service, replaced, **fields), status, code)
    assert_problem(await retake(service, *["key:x"] * 17), 422, "replaces-too-many")
    assert [task["id"] for task in await listed(service)] == [confirmed["id"]]
    assert (await service.get(f"/tasks/{confirmed['id']}")).json()["status"] == "confirmed"


async def test_a_helper_sees_what_owners_corrected_of_his_own(service: Service, reader: Publisher) -> None:
    helpers = {sub: service.identity.bearer("helper", "b1", sub=sub) for sub in ("kim", "lee")}
    made = []
    for number, sub in enumerate(("kim", "lee", "kim", "kim")):
        task = (await service.upload(picture(colour=number), headers=helpers[sub])).json()
        await reader.publish(reading(task, "shirt"))
        await service.has_status(task["id"], "read")
        # The last one was read as it is.
        count = 1 if number == 3 else 2
        await service.confirm(task["id"], {"labels": [{"label": "shirt", "count": count}]})
        made.append(task["id"])

    async def corrected(sub: str, query: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = (await service.get(f"/tasks/corrected{query}", headers=helpers[sub])).json()
        return answer

    first = await corrected("kim", "?limit=1")
    rest = await corrected("kim", f"?limit=1&cursor={first['next_cursor']}")
    assert [task["id"] for task in first["items"] + rest["items"]] == [made[2], made[0]]
    assert rest["next_cursor"] is None
    assert first["items"][0]["confirmation"]["labels"] == [{"label": "shirt", "count": 2}]
    assert [task["id"] for task in (await corrected("lee"))["items"]] == [made[1]]
    # Who may no longer work in a branch sees nothing of it.
    moved = service.identity.bearer("helper", "b2", sub="kim")
    assert (await service.get("/tasks/corrected", headers=moved)).json()["items"] == []
    assert (await service.get("/tasks/corrected")).status_code == 403


async def test_a_key_that_is_deleted_while_it_is_looked_up_is_claimed_again(
    make_settings: MakeSettings, alone: Service
) -> None:
    first = (await alone.upload(key="k1")).json()
    database = Database(make_settings().database_url.get_secret_value(), pool=2)

    class Sweeping:
        """A session beside which another deletes the key, once it is known to be there."""

        def __init__(self, session: AsyncSession) -> None:
            self._session = session
            self._asked = 0

        async def execute(self, statement: Any) -> Any:
            self._asked += 1
            if self._asked == 2:
                async with repository.transaction(database) as other:
                    await other.execute(sa.delete(tables.submissions))
            return await self._session.execute(statement)

    async with repository.transaction(database) as session:
        task = await repository.find(session, first["id"])
        assert task is not None
        key = submission_key("k1", "", "")
        found = await submissions.submitted_under(Sweeping(session), key, or_claim_for=task)  # type: ignore[arg-type]
        assert found is None, "claimed"
        [claimed] = await session.execute(sa.select(tables.submissions.c.key))
        assert claimed.key == key
    await database.close()
