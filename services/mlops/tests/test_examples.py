"""Confirmations become examples, once each, on a real broker and database."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
import sqlalchemy as sa

from laundry_events import Publisher
from laundry_events.envelope import encode
from laundry_events.events import CountedLabel, TaskConfirmed
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from mlops import repository
from mlops.examples import side_of
from mlops.tables import training_examples

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Confirmed = Callable[..., TaskConfirmed]


async def stored(database: Database) -> list[sa.RowMapping]:
    async with database.session() as session:
        rows = await session.execute(sa.select(training_examples).order_by(training_examples.c.id))
        return list(rows.mappings().all())


async def test_a_confirmation_is_stored_with_its_lineage_once(
    service: Service, helper: Publisher, database: Database, confirmed: Confirmed, messaging: Messaging
) -> None:
    event = confirmed(b"photo", "shoes")
    async with service():
        event_id = await helper.publish(event)
        await helper.publish(event, event_id=event_id)
        await helper.publish(confirmed(b"other", "pants"))
        await eventually(lambda: _are(database, 2), what="two examples")
        await eventually(lambda: _empty(messaging), what="an empty queue")
        # Which of the two is stored first is nobody's promise.
        rows = {row["task_id"]: row for row in await stored(database)}
    assert len(await stored(database)) == len(rows) == 2
    row = rows[event.task_id]
    assert (row["task_version"], row["event_id"]) == (3, event_id)
    assert (row["photo_key"], row["photo_sha256"]) == (event.photo.key, event.photo.sha256)
    assert row["labels"] == [{"label": "shoes", "count": 2}]
    assert row["read_labels"] == [{"label": "pants", "confidence": 0.7, "count": 1}]
    assert (row["branch_id"], row["model_version"], row["corrected"]) == ("b1", "shipped-1", True)
    assert (row["confirmed_by"], row["confirmed_at"]) == ("owner-1", event.confirmed_at)


async def test_of_two_confirmations_of_a_task_the_newer_counts_whatever_the_order(
    service: Service, helper: Publisher, database: Database, confirmed: Confirmed
) -> None:
    older = confirmed(b"photo", "pants")
    newer = older.model_copy(update={"task_version": 4, "labels": [CountedLabel(label="shoes", count=1)]})
    async with service():
        await helper.publish(newer)
        await eventually(lambda: _are(database, 1), what="the newer one")
        await helper.publish(older)
        await helper.publish(confirmed(b"last", "pants"))
        await eventually(lambda: _are(database, 2), what="the one after them")
        rows = {row["task_id"]: row for row in await stored(database)}
    assert rows[older.task_id]["labels"] == [{"label": "shoes", "count": 1}]


async def test_confirmations_that_come_together_are_stored_as_if_one_by_one(
    database: Database, confirmed: Confirmed
) -> None:
    first = confirmed(b"photo", "pants")
    versions = [first.model_copy(update={"task_version": version}) for version in (3, 5, 4, 5)]
    elsewhere = confirmed(b"other", "shoes").model_copy(update={"branch_id": "b2"})
    events = [*versions, elsewhere]
    async with database.transaction() as session:
        await repository.store_examples(session, {f"e{at}": event for at, event in enumerate(events)})
        sides = await repository.branch_sides(session)
    rows = {row["task_id"]: row for row in await stored(database)}
    assert {key: row["event_id"] for key, row in rows.items()} == {
        first.task_id: "e1",
        elsewhere.task_id: "e4",
    }
    assert sides == {branch: side_of(branch, before) for before, branch in enumerate(("b1", "b2"))}


async def test_strange_messages_go_to_the_dead_letters_and_the_service_goes_on(
    service: Service, helper: Publisher, database: Database, confirmed: Confirmed, messaging: Messaging
) -> None:
    good = encode(confirmed(b"photo", "shoes"), source="/helper")
    unlabelled = {**json.loads(good.body), "labels": []}
    strange = {
        "no headers": (good.body, {}, "malformed"),
        "malformed JSON": (b"{", good.headers, "malformed"),
        "no labels": (json.dumps(unlabelled).encode(), good.headers, "malformed"),
        "unknown type": (good.body, {**good.headers, "cloudEvents_type": "TaskBurnt"}, "unknown-event"),
        "unknown version": (
            good.body,
            {**good.headers, "cloudEvents_dataschema": "urn:laundry:schema:TaskConfirmed:99"},
            "unknown-event",
        ),
    }
    async with service():
        for name, (body, headers, _) in strange.items():
            await messaging.publish_raw(
                "laundry.events", "task.confirmed", body, headers=headers, message_id=name
            )
        dead = [await messaging.take("task.confirmed.dlq") for _ in strange]
        await helper.publish(confirmed(b"photo", "shoes"))
        await eventually(lambda: _are(database, 1), what="the good one")
    assert {each.message_id: each.headers["x-dead-reason"] for each in dead} == {
        name: reason for name, (_, _, reason) in strange.items()
    }
    assert all(each.headers["x-attempts"] == 1 for each in dead)


async def _are(database: Database, count: int) -> bool:
    return len(await stored(database)) == count


async def _empty(messaging: Messaging) -> bool:
    return await messaging.count("task.confirmed") == 0
