"""Who is forgotten is named by no event that still waits."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from laundry_events import Outbox
from laundry_events.envelope import encode
from laundry_events.event import Event
from laundry_events.events import FaultAcknowledged, PersonErased, TaskRead
from laundry_events.tables import outbox
from laundry_testing.erasing import TOMBSTONE, person_erased

from .outbox_helpers import store, store_raw

pytestmark = pytest.mark.servers
NAMING = {event.routing_key: event for event in (FaultAcknowledged, TaskRead)}
WHO = 'kim "the owner" 김'


def acknowledged(by: str) -> FaultAcknowledged:
    return FaultAcknowledged(
        fault_id="f1",
        equipment_id="washer-1",
        branch_id="b1",
        acknowledged_by=by,
        acknowledged_at=datetime.now(UTC),
    )


async def keep(engine: AsyncEngine, *events: Event) -> None:
    async with engine.begin() as connection:
        for event in events:
            await Outbox("tests").add(connection, event)


async def bodies(engine: AsyncEngine) -> list[bytes]:
    async with engine.connect() as connection:
        return list(await connection.scalars(select(outbox.c.body).order_by(outbox.c.id)))


async def forget(engine: AsyncEngine, who: str) -> int:
    async with engine.begin() as connection:
        return await Outbox("tests").forget(connection, who, TOMBSTONE, NAMING)


async def test_a_tombstone_stands_for_the_person_and_nothing_else_is_changed(engine: AsyncEngine) -> None:
    request, _ = person_erased(WHO)
    await keep(engine, acknowledged(WHO), acknowledged("kim"), request)
    await store(engine, "t1")
    # Neither is what this library has stored: an event that it does not know, and a body that is none.
    unknown = encode(acknowledged(WHO), source="/tests").body
    await store_raw(engine, routing_key="task.unheard-of", body=unknown)
    await store_raw(engine, body=b"no JSON of " + WHO.encode())
    before = await bodies(engine)
    assert await forget(engine, WHO) == 1
    after = await bodies(engine)
    assert after[1:] == before[1:]
    assert FaultAcknowledged.model_validate_json(after[0]).acknowledged_by == TOMBSTONE
    assert PersonErased.model_validate_json(after[2]).person_id == WHO
    assert await forget(engine, WHO) == 0


async def test_part_of_a_name_is_not_the_name(engine: AsyncEngine) -> None:
    await keep(engine, acknowledged("kimberly"))
    assert await forget(engine, "kim") == 0


async def test_an_event_that_is_being_published_is_waited_for(engine: AsyncEngine) -> None:
    await keep(engine, acknowledged(WHO))
    async with engine.begin() as relay:
        await relay.execute(select(outbox.c.id).with_for_update())
        forgetting = asyncio.create_task(forget(engine, WHO))
        done, _ = await asyncio.wait({forgetting}, timeout=0.5)
        assert not done
        await relay.execute(outbox.delete())
    assert await forgetting == 0
