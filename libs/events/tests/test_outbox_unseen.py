"""A relay that gets no connection, while its service stores events, does not look idle."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from laundry_events import Publisher, Relay, outbox_rows
from laundry_events.relay import OLDEST
from laundry_testing.messaging import Messaging, eventually

from .outbox_helpers import is_empty, store

pytestmark = pytest.mark.servers


def oldest_s() -> float:
    return float(OLDEST._value.get())


async def refused(_dsn: str) -> Any:
    raise asyncpg.TooManyConnectionsError("sorry, too many clients already")


async def test_what_waits_unseen_grows_old(
    engine: AsyncEngine,
    publisher: Publisher,
    messaging: Messaging,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    OLDEST.set(-1)
    relay = Relay(database_url, publisher, state_every_s=0)
    await relay.start()
    await eventually(lambda: oldest_s() == 0, what="a first look at the empty outbox")
    with monkeypatch.context() as full:
        full.setattr(outbox_rows, "connect", refused)
        async with engine.connect() as connection:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            await connection.execute(text(f"{end} AND application_name = 'outbox-relay'"))
        await store(engine, "t1")
        await eventually(lambda: oldest_s() > 1, what="an outbox that was not seen for more than a second")
    assert b"t1" in (await messaging.take("task.read")).body
    await eventually(lambda: is_empty(engine), what="an empty outbox")
    await eventually(lambda: oldest_s() == 0, what="a look at the empty outbox")
    await relay.stop()


async def test_a_relay_that_never_got_a_connection_does_not_look_idle(
    database_url: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    OLDEST.set(0)
    monkeypatch.setattr(outbox_rows, "connect", refused)
    relay = Relay(database_url, publisher)
    await relay.start()
    await eventually(lambda: oldest_s() > 1, what="an outbox that was not seen for more than a second")
    await relay.stop()
    OLDEST.set(0)
