"""Readings come in once and in order; an owner's word is the last."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

from helper import repository
from helper.repository import readings
from helper.service.readings import TASK_READ
from helper.tasks import outcome_of, take_reading
from laundry_events import Publisher, claim_once
from laundry_events.envelope import encode
from laundry_events.events import ReadLabel
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.tables import inbox
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.problems import assert_problem

from .conftest import Service, picture, reading

pytestmark = pytest.mark.servers


async def test_a_reading_reaches_its_task_and_can_be_confirmed(
    service: Service, messaging: Messaging, reader: Publisher
) -> None:
    task = (await service.upload()).json()
    assert_problem(await service.confirm(task["id"]), 409, "task-not-read")
    event = reading(task, "shirt", "pants", needs_review=True)
    await reader.publish(event, event_id="read-1")
    read = await service.has_status(task["id"], "read")
    assert read["version"] == 2
    assert read["reading"] == {
        "labels": [{"label": name, "confidence": 0.9, "count": 1} for name in ("shirt", "pants")],
        "needs_review": True,
        "multiple": False,
        "model_version": "m1",
        "read_at": event.read_at.isoformat().replace("+00:00", "Z"),
    }
    labels = {"labels": [{"label": "pants"}, {"label": "shirt", "count": 1}]}
    answer = await service.confirm(task["id"], labels)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["status"], done["version"]) == ("confirmed", 3)
    assert (done["confirmation"]["corrected"], done["confirmation"]["confirmed_by"]) == (False, "owner-1")
    told = json.loads((await messaging.take("task.confirmed")).body)
    assert (told["task_id"], told["corrected"], told["model_version"]) == (task["id"], False, "m1")
    assert told["labels"] == done["confirmation"]["labels"]
    assert told["photo"]["sha256"] == task["photo"]["sha256"]


async def test_late_and_repeated_readings_change_nothing(
    service: Service, messaging: Messaging, reader: Publisher
) -> None:
    task = (await service.upload()).json()
    await reader.publish(reading(task, "shirt"), event_id="read-1")
    await service.has_status(task["id"], "read")
    await reader.publish(reading(task, "hat"), event_id="read-1")
    await reader.publish(reading(task, "hat"), event_id="read-2")
    await service.confirm(task["id"])
    confirmed = await service.has_status(task["id"], "confirmed")
    await reader.publish(reading(confirmed, "hat"), event_id="read-3")
    last = (await service.upload(picture(colour=7))).json()
    unreadable = reading(last, outcome="unreadable", reason="damaged", labels=[])
    await reader.publish(unreadable, event_id="read-4")
    shown = await service.has_status(last["id"], "unreadable")
    assert (shown["reading"], shown["unreadable_reason"]) == (None, "damaged")
    await eventually(lambda: _is_empty(messaging, "task.read"), what="an empty queue")
    after = (await service.get(f"/tasks/{task['id']}")).json()
    assert [label["label"] for label in after["reading"]["labels"]] == ["shirt"]
    assert after == confirmed
    assert await messaging.count("task.read.dlq") == 0


async def _is_empty(messaging: Messaging, queue: str) -> bool:
    return await messaging.count(queue) == 0


async def test_messages_that_are_no_reading_are_dead_letters_at_once(
    service: Service, messaging: Messaging, reader: Publisher
) -> None:
    task = (await service.upload()).json()
    good = encode(reading(task), source="/ai-consumer")
    stranger = reading({**task, "id": "01890000-0000-7000-8000-000000000000"})
    unknown, no_uuid = (
        encode(event, source="/ai-consumer") for event in (stranger, reading({**task, "id": "t1"}))
    )
    cases: list[tuple[bytes, dict[str, Any], str]] = [
        (b"{not json", good.headers, "malformed"),
        (b'{"task_id": 1}', good.headers, "malformed"),
        (good.body, {}, "malformed"),
        (good.body, good.headers | {"cloudEvents_type": "TaskEaten"}, "unknown-event"),
        (
            good.body,
            good.headers | {"cloudEvents_dataschema": "urn:laundry:schema:TaskRead:99"},
            "unknown-event",
        ),
        (unknown.body, unknown.headers, "unknown-task"),
        (no_uuid.body, no_uuid.headers, "unknown-task"),
    ]
    for body, headers, reason in cases:
        await messaging.publish_raw(EVENTS_EXCHANGE, "task.read", body, headers=headers)
        dead = await messaging.take("task.read.dlq")
        assert dead.headers["x-dead-reason"] == reason
        assert dead.headers["x-attempts"] == 1
        assert dead.headers["x-error-message"]
        assert dead.body == body
    await reader.publish(reading(task))
    await service.has_status(task["id"], "read")


async def test_what_may_be_confirmed_and_by_whom(service: Service, reader: Publisher) -> None:
    task = (await service.upload()).json()
    path = f"/tasks/{task['id']}/confirmation"
    await reader.publish(reading(task, labels=[ReadLabel(label="hat", confidence=0.4)]))
    await service.has_status(task["id"], "read")

    async def refused(labels: Any, status: int, code: str, headers: Any = None) -> dict[str, Any]:
        answer = await service.confirm(task["id"], labels, headers=headers)
        return assert_problem(answer, status, code)

    unknown = await refused({"labels": [{"label": "sock", "count": 1}]}, 422, "unknown-label")
    assert "shirt" in unknown["allowed"]
    twice = {"labels": [{"label": "shirt", "count": 1}, {"label": "shirt", "count": 2}]}
    await refused(twice, 422, "repeated-label")
    for labels in (
        {},
        [],
        {"labels": []},
        {"labels": "shirt"},
        *({"labels": [{"label": "shirt", "count": count}]} for count in (0, 1000, -1, 1.5, "2", True, None)),
    ):
        await refused(labels, 422, "invalid-request")
    owner = service.identity.bearer("owner", "b1") | {"Content-Type": "application/json"}
    malformed = await service.http.post(path, headers=owner, content=b'{"labels": [')
    assert_problem(malformed, 400, "malformed-json")
    huge = await service.http.post(path, headers=owner, content=b" " * 100_000)
    assert huge.status_code == 413
    good = {"labels": [{"label": "shirt", "count": 2}]}
    await refused(good, 403, "branch-forbidden", service.identity.bearer("owner", "b2"))
    for role in ("helper", "customer", "operator", "device"):
        await refused(good, 403, "role-forbidden", service.identity.bearer(role, "b1"))
    await refused(good, 401, "token-expired", service.identity.bearer("owner", "b1", seconds=-60))
    assert_problem(await service.confirm("01890000-0000-7000-8000-000000000000"), 404, "task-not-found")

    first = await service.confirm(task["id"], good)
    assert first.json()["confirmation"]["corrected"] is True
    again = await service.confirm(task["id"], good)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replay"] == "true"
    await refused({"labels": [{"label": "hat", "count": 1}]}, 409, "already-confirmed")


async def test_of_concurrent_confirmations_one_wins(
    service: Service, messaging: Messaging, reader: Publisher
) -> None:
    task = (await service.upload()).json()
    await reader.publish(reading(task))
    await service.has_status(task["id"], "read")
    bodies = [{"labels": [{"label": "shirt", "count": count}]} for count in range(1, 7)]
    answers = await asyncio.gather(*(service.confirm(task["id"], body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    told = json.loads((await messaging.take("task.confirmed")).body)
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    assert told["labels"] == winner["confirmation"]["labels"]
    assert (await service.get(f"/tasks/{task['id']}")).json() == winner
    assert await messaging.count("task.confirmed") == 0


async def test_of_deliveries_at_once_one_has_the_effect(service: Service, database: Database) -> None:
    shown = (await service.upload()).json()
    async with repository.single(database) as connection:
        before = await repository.find(connection, shown["id"])
    assert before is not None
    event = reading(shown)
    after = take_reading(before, event)

    async def deliver(message_id: str) -> bool:
        async with repository.single(database) as connection:
            return await readings.take_once(
                connection, before.id, event, outcome_of(event), consumer=TASK_READ, message_id=message_id
            )

    # The same message four times, and another reading of the same version as often.
    taken = await asyncio.gather(*(deliver(f"read-{number % 2}") for number in range(8)))
    assert sorted(taken) == [False] * 7 + [True]
    noted = sa.select(inbox.c.message_id).where(inbox.c.consumer == TASK_READ)
    async with repository.single(database) as connection:
        assert len((await connection.execute(noted)).all()) == 1
        assert await repository.find(connection, before.id) == after


async def test_a_reading_of_a_later_version_is_taken_all_the_same(
    service: Service, reader: Publisher
) -> None:
    # A backup that was put back knows an older version of the task than the reading.
    shown = (await service.upload()).json()
    await reader.publish(reading(shown).model_copy(update={"task_version": 7}), event_id="read-1")
    assert (await service.has_status(shown["id"], "read"))["version"] == 2


@pytest.mark.parametrize("change", [{"branch_id": "b2"}, {"task_version": 2}, {"task_version": 2**70}])
async def test_a_reading_of_another_branch_or_version_is_not_taken_unlooked_at(
    service: Service, database: Database, change: dict[str, Any]
) -> None:
    shown = (await service.upload()).json()
    event = reading(shown).model_copy(update=change)
    async with repository.single(database) as connection:
        before = await repository.find(connection, shown["id"])
        assert not await readings.take_once(
            connection, shown["id"], event, outcome_of(event), consumer=TASK_READ, message_id="read-1"
        )
        assert await repository.find(connection, shown["id"]) == before


async def test_a_message_that_was_noted_has_no_effect_again(service: Service, database: Database) -> None:
    shown = (await service.upload()).json()
    async with repository.transaction(database) as session:
        before = await repository.find(session, shown["id"], lock=True)
        assert await claim_once(session, TASK_READ, "read-1")
    assert before is not None
    event = reading(shown)
    async with repository.single(database) as connection:
        assert not await readings.take_once(
            connection, before.id, event, outcome_of(event), consumer=TASK_READ, message_id="read-1"
        )
        assert await repository.find(connection, before.id) == before
