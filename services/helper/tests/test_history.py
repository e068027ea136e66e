"""Confirmations that are taken back, a search in the history, and what was washed by day."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from helper.history import BadPeriod, days_of, period_of
from helper.repository import rows
from helper.tables import tasks
from helper.tasks import Confirmation, Task
from laundry_events import Publisher
from laundry_events.dsn import plain_dsn
from laundry_events.events import CountedLabel, Photo
from laundry_events.tables import outbox
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.problems import assert_problem

from .conftest import Service, reading

SEOUL = ZoneInfo("Asia/Seoul")
NOON = datetime(2026, 3, 9, 3, tzinfo=UTC)
BLANK = Task("", "b1", "kim", Photo(key="k", sha256="a" * 64, bytes=1, media_type="image/jpeg"), NOON)


async def held(database: Database) -> list[str]:
    """The bodies of the confirmations that wait in the outbox, as text."""
    query = sa.select(outbox.c.body).where(outbox.c.routing_key == "task.confirmed")
    async with database.session() as session:
        return [body.decode() for body in (await session.execute(query)).scalars()]


async def read_task(service: Service, reader: Publisher) -> dict[str, Any]:
    task = (await service.upload()).json()
    await reader.publish(reading(task, "shirt"))
    return await service.has_status(task["id"], "read")


async def take_back(service: Service, task_id: str, sub: str = "owner-1", branch: str = "b1") -> Any:
    owner = service.identity.bearer("owner", branch, sub=sub)
    return await service.http.delete(f"/tasks/{task_id}/confirmation", headers=owner)


def confirmation(label: str = "shirt", **more: Any) -> dict[str, Any]:
    return {"labels": [{"label": label, "count": 1}], **more}


@pytest.mark.servers
async def test_what_is_taken_back_is_never_learnt_and_can_be_confirmed_anew(
    service: Service, reader: Publisher, messaging: Messaging, database: Database
) -> None:
    task = await read_task(service, reader)
    body = confirmation("hat", undo_s=60)
    first = (await service.confirm(task["id"], body)).json()
    assert first["status"] == "confirmed"
    left = datetime.fromisoformat(first["confirmation"]["undo_until"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < left <= timedelta(seconds=61)
    assert (await service.confirm(task["id"], body)).json() == first
    assert len(await held(database)) == 1

    back = (await take_back(service, task["id"])).json()
    assert (back["status"], back["confirmation"], back["version"]) == ("read", None, first["version"] + 1)
    assert back["reading"] == task["reading"]
    assert await held(database) == []
    # The answer may have been lost: once more is no harm.
    assert (await take_back(service, task["id"])).json() == back

    await service.confirm(task["id"], confirmation("shirt"))
    told = json.loads((await messaging.take("task.confirmed")).body)
    assert (told["labels"], told["task_version"]) == ([{"label": "shirt", "count": 1}], back["version"] + 1)
    await eventually(lambda: _nothing_waits(database), what="an empty outbox")
    assert await messaging.count("task.confirmed") == 0


async def _nothing_waits(database: Database) -> bool:
    return not await held(database)


@pytest.mark.servers
async def test_a_confirmation_is_told_by_itself_once_it_cannot_be_taken_back(
    service: Service, reader: Publisher, messaging: Messaging
) -> None:
    task = await read_task(service, reader)
    done = (await service.confirm(task["id"], confirmation(undo_s=1))).json()
    told = await messaging.take("task.confirmed")
    assert datetime.now(UTC) >= datetime.fromisoformat(done["confirmation"]["undo_until"])
    assert json.loads(told.body)["task_id"] == task["id"]
    assert_problem(await take_back(service, task["id"]), 409, "confirmation-final")
    assert (await service.get(f"/tasks/{task['id']}")).json()["status"] == "confirmed"


@pytest.mark.servers
async def test_who_may_take_back_and_until_when(
    service: Service, reader: Publisher, database: Database, database_url: str
) -> None:
    task = await read_task(service, reader)
    assert (await take_back(service, task["id"])).json() == task
    done = (await service.confirm(task["id"], confirmation(undo_s=120))).json()
    assert_problem(await take_back(service, task["id"], sub="owner-2"), 409, "confirmed-by-another")
    assert_problem(await take_back(service, task["id"], branch="b2"), 403, "branch-forbidden")
    for bad in (-1, 121, "10", 1.5, None):
        answer = await service.confirm(task["id"], confirmation(undo_s=bad))
        assert_problem(answer, 422, "invalid-request")
    # The relay is publishing it: taking it back waits for the outcome, and is then too late.
    connection = await asyncpg.connect(plain_dsn(database_url))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM outbox FOR UPDATE")
    asked = asyncio.ensure_future(take_back(service, task["id"]))
    await connection.execute("DELETE FROM outbox")
    await transaction.commit()
    await connection.close()
    assert_problem(await asked, 409, "confirmation-final")
    assert (await service.get(f"/tasks/{task['id']}")).json() == done
    # Confirmed for good at once, as programs do it.
    last = await read_task_again(service, reader)
    assert (await service.confirm(last["id"], confirmation())).json()["confirmation"]["undo_until"] is None
    assert_problem(await take_back(service, last["id"]), 409, "confirmation-final")


async def read_task_again(service: Service, reader: Publisher) -> dict[str, Any]:
    task = (await service.upload(key="another")).json()
    await reader.publish(reading(task, "shirt"))
    return await service.has_status(task["id"], "read")


def id_at(moment: datetime, number: int) -> str:
    """A UUIDv7 of a moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number))


async def keep(database: Database, *made: Task) -> None:
    async with database.transaction() as session:
        await session.execute(sa.insert(tasks), [rows.values(task) for task in made])


def washed(at: datetime, number: int, *labels: str, corrected: bool = False, **changes: Any) -> Task:
    counted = tuple(CountedLabel(label=label, count=2) for label in labels)
    said = Confirmation(counted, corrected, "owner-1", at + timedelta(days=3))
    task = replace(BLANK, id=id_at(at, number), submitted_at=at, status="confirmed", confirmation=said)
    return replace(task, **changes)


@pytest.mark.servers
async def test_the_history_is_searched_on_the_server(alone: Service, database: Database) -> None:
    # 14:59:59 and 15:00:00 UTC: midnight in Seoul lies between them.
    before, after = datetime(2026, 3, 9, 14, 59, 59, tzinfo=UTC), datetime(2026, 3, 9, 15, tzinfo=UTC)
    made = [
        washed(before, 1, "shirt", note="3층 탈의실, 100%_면"),
        washed(after, 2, "hat", helper_id="Park_1", note="1003층"),
        washed(after, 3, "hat", "shirt", branch_id="b2"),
        washed(after, 4, "pants", helper_id="parkX1"),
    ]
    await keep(database, *made)
    both = alone.identity.bearer("owner", "b1", "b2")

    async def found(**query: Any) -> list[int]:
        numbers: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await alone.get("/tasks", headers=both, params={"limit": 2, **query, **cursor})
            assert answer.status_code == 200, answer.text
            numbers += [UUID(item["id"]).int & 0xFF for item in answer.json()["items"]]
            if (following := answer.json()["next_cursor"]) is None:
                return numbers
            cursor = {"cursor": following}

    assert await found() == [4, 3, 2, 1]
    assert await found(label="shirt") == [3, 1]
    assert await found(label="shirt", branch_id="b1") == [1]
    assert await found(note="탈의") == [1]
    # What is special to a pattern is looked for as it is.
    assert await found(note="%_") == [1]
    assert await found(note="100%층") == []
    assert await found(helper="PARK") == [4, 2]
    assert await found(helper="park_1") == [2]
    assert await found(last_day="2026-03-09") == [1]
    assert await found(first_day="2026-03-10") == [4, 3, 2]
    assert await found(first_day="2026-03-10", last_day="2026-03-10", label="hat") == [3, 2]
    assert await found(label="no such") == []
    for wrong in (
        {"first_day": "2026-03-10", "last_day": "2026-03-09"},
        {"first_day": "0001-01-01"},
        {"last_day": "9999-12-31"},
    ):
        assert_problem(await alone.get("/tasks", params=wrong), 422, "period-invalid")
    assert_problem(await alone.get("/tasks", params={"first_day": "yesterday"}), 422, "invalid-request")
    assert_problem(await alone.get("/tasks", params={"note": ""}), 422, "invalid-request")


@pytest.mark.servers
async def test_what_was_washed_is_counted_by_day_and_class(alone: Service, database: Database) -> None:
    midnight = datetime(2026, 3, 9, 15, tzinfo=UTC)
    second = timedelta(seconds=1)
    await keep(
        database,
        washed(midnight - second, 1, "shirt"),
        washed(midnight, 2, "shirt", "hat", corrected=True),
        washed(midnight + 5 * second, 3, "shirt"),
        washed(midnight, 4, "shirt", branch_id="b2"),
        replace(BLANK, id=id_at(midnight, 5), submitted_at=midnight, status="read"),
    )
    days = {"first_day": "2026-03-09", "last_day": "2026-03-10"}
    counted = (await alone.get("/tasks/washed", params=days)).json()
    assert counted == {
        "time_zone": "Asia/Seoul",
        "first_day": "2026-03-09",
        "last_day": "2026-03-10",
        "days": [
            {"day": "2026-03-09", "loads": 1, "corrected": 0},
            {"day": "2026-03-10", "loads": 2, "corrected": 1},
        ],
        "items": [
            {"day": "2026-03-09", "label": "shirt", "pieces": 2, "loads": 1, "corrected": 0},
            {"day": "2026-03-10", "label": "hat", "pieces": 2, "loads": 1, "corrected": 1},
            {"day": "2026-03-10", "label": "shirt", "pieces": 4, "loads": 2, "corrected": 1},
        ],
        "next_cursor": None,
    }
    both = alone.identity.bearer("owner", "b1", "b2")
    more = (await alone.get("/tasks/washed", params=days, headers=both)).json()
    assert [day["loads"] for day in more["days"]] == [1, 3]
    one = (await alone.get("/tasks/washed", params={**days, "branch_id": "b2"}, headers=both)).json()
    assert [day["loads"] for day in one["days"]] == [1]
    usual = (await alone.get("/tasks/washed")).json()
    today = datetime.now(SEOUL).date()
    assert usual["last_day"] in {str(today), str(today - timedelta(days=1))}
    assert usual["items"] == []
    foreign = await alone.get("/tasks/washed", params={"branch_id": "b2"})
    assert_problem(foreign, 403, "branch-forbidden")
    year = {"first_day": "2025-01-01", "last_day": "2026-03-09"}
    assert_problem(await alone.get("/tasks/washed", params=year), 422, "period-invalid")
    helper = alone.identity.bearer("helper", "b1")
    assert_problem(await alone.get("/tasks/washed", headers=helper), 403, "role-forbidden")


def test_days_begin_at_midnight_of_the_zone_also_when_its_clocks_change() -> None:
    period = period_of(date(2026, 3, 9), date(2026, 3, 9), SEOUL)
    assert period.since == datetime(2026, 3, 8, 15, tzinfo=UTC)
    assert period.until == datetime(2026, 3, 9, 15, tzinfo=UTC)
    berlin = period_of(date(2026, 3, 29), date(2026, 3, 29), ZoneInfo("Europe/Berlin"))
    assert berlin.since is not None
    assert berlin.until is not None
    assert (berlin.until.timestamp() - berlin.since.timestamp()) == 23 * 3600
    assert period_of(None, None, SEOUL).since is None


@given(st.none() | st.dates(), st.none() | st.dates())
def test_every_choice_of_days_is_a_period_or_refused(first: date | None, last: date | None) -> None:
    today = date(2026, 3, 9)
    try:
        start, end = days_of(first, last, today=today, usual=28)
        period = period_of(start, end, SEOUL)
    except BadPeriod:
        return
    assert period.since is not None
    assert period.until is not None
    assert period.since < period.until
    assert (first or start, last or end) == (start, end)
