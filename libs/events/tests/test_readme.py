"""The example of the README works as it stands there, and names what is public."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import laundry_events
from laundry_events import EventConsumer, Publisher, Received
from laundry_events.broker import ConsumingBroker
from laundry_events.definitions import definitions
from laundry_testing.messaging import Messaging, apply_plan, eventually

CODE = re.compile(r"```python\n(.*?)```", re.S)
README = Path(__file__).parent.parent / "README.md"


def example() -> dict[str, Any]:
    code = CODE.findall(README.read_text())[0]
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(README), "exec"), found)
    return found


@pytest.mark.servers
async def test_the_example_ships_its_order(messaging: Messaging, engine: AsyncEngine) -> None:
    found = example()
    await asyncio.to_thread(apply_plan, messaging.broker, messaging.vhost, found["PLAN"])
    url = engine.url.render_as_string(hide_password=False)
    async with asyncio.timeout(60):
        assert await found["main"](messaging.amqp_url, url) == "42"
    for queue in ("order.placed", "order.placed.dlq", "order.placed.retry.30s"):
        assert await messaging.count(queue) == 0


@pytest.mark.servers
async def test_the_example_of_batches_ships_its_orders(
    messaging: Messaging, engine: AsyncEngine, broker: ConsumingBroker, publisher: Publisher
) -> None:
    found = example()
    await asyncio.to_thread(apply_plan, messaging.broker, messaging.vhost, found["PLAN"])
    shipments = sa.Table("shipments", sa.MetaData(), sa.Column("number", sa.Text))
    async with engine.begin() as connection:
        await connection.run_sync(shipments.metadata.create_all)
    consumer = EventConsumer(broker, publisher, found["PLAN"], service="shipping", service_version="1")
    given = {"AsyncConnection": AsyncConnection, "Sequence": Sequence, "Received": Received}
    found |= given | {"insert": sa.insert, "engine": engine, "consumer": consumer, "shipments": shipments}
    exec(compile(CODE.findall(README.read_text())[1], str(README), "exec"), found)
    for number in ("42", "43"):
        await publisher.publish(found["OrderPlaced"](number=number))
    await broker.start()

    async def shipped() -> bool:
        async with engine.connect() as connection:
            numbers = (await connection.execute(sa.select(shipments.c.number))).scalars()
            return sorted(numbers) == ["42", "43"]

    await eventually(shipped, what="both shipments")


def test_the_examples_plan_is_declared_by_itself() -> None:
    document = definitions(example()["PLAN"], nodes=1)
    names = {queue["name"] for queue in document["queues"]}
    assert names == {"order.placed", "order.placed.dlq"} | {f"order.placed.retry.{n}s" for n in (1, 5, 30)}
    assert document["vhosts"][0]["name"] == "/"


def test_each_public_name_is_listed_once_and_there() -> None:
    module: ModuleType = laundry_events
    listed = module.__all__
    assert len(listed) == len(set(listed)) > 20
    assert all(getattr(module, name) is not None for name in listed)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = module.nothing_of_ours


def test_nothing_but_the_events_and_the_topology_knows_the_laundry() -> None:
    """What others replace is imported by no module that they keep."""
    folder = Path(laundry_events.__file__).parent
    own = {"events.py", "previews.py", "topology.py"}
    tools = {"schemas.py"}  # a program that writes the laundry's schemas
    knows = re.compile(r"laundry_events\.(events|previews|topology)\b|import (events|previews|topology)\b")
    found = {path.name for path in folder.glob("*.py") if knows.search(path.read_text())}
    assert found - own - tools == set()
