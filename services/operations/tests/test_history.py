"""Every event is kept once, without the names of people; and a queue that is not bound is told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from laundry_events import Event, Publisher
from laundry_events.definitions import bindings
from laundry_events.envelope import encode
from laundry_events.event import people_in
from laundry_events.events import EVENTS, FaultAcknowledged, PersonErased, PreferenceCreated, PreferenceMatch
from laundry_events.plan import EVENTS_EXCHANGE, Plan
from laundry_events.stream_reader import FILTER_VALUE, read_stream
from laundry_events.topology import HISTORY, HISTORY_INTAKE, PLAN
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.serving import metrics_text
from laundry_testing.traces import in_database, in_stream
from operations.repository.erasures import HELD
from operations.service import sampling
from operations.tables import history_people

from .conftest import World

NOW = datetime.now(UTC)
BY_TYPE = {event.event_type: event for event in EVENTS}
servers = pytest.mark.servers


def taken_care(who: str, equipment: str = "washer-3") -> FaultAcknowledged:
    return FaultAcknowledged(
        fault_id="f1", equipment_id=equipment, branch_id="b1", acknowledged_by=who, acknowledged_at=NOW
    )


@pytest_asyncio.fixture
async def publisher(messaging: Messaging) -> AsyncIterator[Publisher]:
    async with messaging.publisher("tests") as publisher:
        yield publisher


async def kept(messaging: Messaging, number: int) -> list[tuple[str, dict[str, Any], Event]]:
    """Wait for so many copies; returns the id, headers and event of each."""

    async def look() -> list[tuple[str, dict[str, Any], Event]] | None:
        async with messaging.channel() as channel:
            found = [each async for each in read_stream(channel, HISTORY)]
        copies = [
            (
                str(each.message_id),
                dict(each.headers),
                BY_TYPE[str(each.headers["cloudEvents_type"])].model_validate_json(each.body),
            )
            for each in found
        ]
        return copies if len(copies) >= number else None

    copies: list[tuple[str, dict[str, Any], Event]] = await eventually(look, what=f"{number} copies")
    assert len(copies) == number
    return copies


@servers
async def test_an_event_is_kept_without_the_names_of_people(
    world: World, publisher: Publisher, database_url: str
) -> None:
    matches = [PreferenceMatch(customer_id=who, score=0.5) for who in ("lee", "kim")]
    stated = PreferenceCreated(
        preference_id="p1", branch_id="b1", title="t", text="t", tags={}, matches=matches, created_at=NOW
    )
    acknowledged = await publisher.publish(taken_care("kim"))
    told = await publisher.publish(stated)
    copies = {id_: (headers, event) for id_, headers, event in await kept(world.messaging, 2)}
    headers, first = copies[acknowledged]
    assert headers[FILTER_VALUE] == "washer-3" == headers["cloudEvents_subject"]
    assert headers["cloudEvents_source"] == "/tests"
    assert await in_stream(world.messaging.amqp_url, HISTORY, ["kim", "lee"]) == []
    second = copies[told][1]
    assert isinstance(second, PreferenceCreated)
    # One and the same person is one pseudonym, wherever they stand.
    assert people_in(first) == {second.matches[1].customer_id} != {second.matches[0].customer_id}

    # Once a person is erased nothing tells who it was, and all of it still is one person's.
    database = Database(database_url, pool=1)
    await PersonalData(database, HELD).erase("kim", "erased-1")
    async with database.session() as session:
        rows = (await session.execute(sa.select(history_people))).all()
    await database.close()
    assert {(row.person_id, row.tombstone) for row in rows} == {("lee", None), (None, "erased-1")}
    assert await in_database(database_url, ["kim"]) == []


@servers
async def test_a_request_to_forget_somebody_is_kept_by_its_tombstone_and_brings_nobody_back(
    world: World, publisher: Publisher, database_url: str
) -> None:
    await publisher.publish(
        PersonErased(erasure_id="e1", person_id="kim", tombstone="erased-1", requested_at=NOW)
    )
    [(_, _, event)] = await kept(world.messaging, 1)
    assert people_in(event) == {"erased-1"}
    assert await in_database(database_url, ["kim"]) == []


@servers
async def test_drills_are_kept_and_what_no_release_knows_is_a_dead_letter(
    world: World, publisher: Publisher
) -> None:
    outgoing = encode(taken_care("kim"), source="/tests", event_id="drill")
    for id_, headers in (
        ("drill", {"x-drill": "crash"}),
        (
            "unknown",
            {"cloudEvents_type": "TowelLost", "cloudEvents_dataschema": "urn:laundry:schema:TowelLost:1"},
        ),
    ):
        await world.messaging.publish_raw(
            EVENTS_EXCHANGE,
            outgoing.routing_key,
            outgoing.body,
            headers={**outgoing.headers, **headers},
            message_id=id_,
        )
    letter = await world.messaging.take(f"{HISTORY_INTAKE}.dlq")
    assert (letter.message_id, letter.headers["x-dead-reason"]) == ("unknown", "unknown-event")
    [(id_, headers, _)] = await kept(world.messaging, 1)
    assert id_ == "drill" and "x-drill" not in headers


@servers
async def test_a_queue_that_is_not_bound_is_in_the_metrics_until_it_is(world: World) -> None:
    def is_missing(number: int) -> bool:
        return f'laundry_bindings_missing{{queue="task.read"}} {number}.0' in metrics_text()

    sampling.hide()
    await eventually(lambda: is_missing(0), what="a first look")
    async with world.messaging.channel() as channel:
        queue = await channel.get_queue("task.read", ensure=False)
        await queue.unbind(EVENTS_EXCHANGE, "task.read")
        await eventually(lambda: is_missing(1), what="the missing binding")
        # What is published is taken nevertheless: by the history alone.
        await world.messaging.publish_raw(EVENTS_EXCHANGE, "task.read", b"{}")
        await queue.bind(EVENTS_EXCHANGE, "task.read")
        await eventually(lambda: is_missing(0), what="the binding in its place")


@pytest.mark.parametrize("gone", ["task.read", "task.read.retry.2s", "task.read.dlq"])
def test_whatever_of_a_queue_is_not_bound_counts_as_its_own(gone: str) -> None:
    planned = {
        (each["source"], each["destination"], each["routing_key"]) for each in bindings(PLAN, vhost="/")
    }
    present = {binding for binding in planned if binding[1] != gone}
    lost = sampling.missing(PLAN, present)
    assert {queue for queue, lacking in lost.items() if lacking} == {"task.read"}
    assert set(lost["task.read"]) == planned - present
    assert sampling.missing(PLAN, planned) == {queue.name: [] for queue in PLAN.queues}


def test_a_plan_without_queues_lacks_nothing() -> None:
    assert sampling.missing(Plan(queues=(), services=()), set()) == {}
