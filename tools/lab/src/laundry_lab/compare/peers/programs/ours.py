"""Ours, as the example of laundry_events uses it: outbox, relay, inbox, and spans of every message."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
import uvloop
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from laundry_events import (
    Event,
    EventConsumer,
    EventMeta,
    Outbox,
    Plan,
    Publisher,
    Queue,
    Received,
    Relay,
    Service,
    claim_once,
    make_broker,
)
from laundry_events.broker_plan import Target, apply
from laundry_events.tables import create_inbox, create_outbox
from laundry_lab.compare.peers.programs.looped import send_orders
from laundry_lab.compare.peers.programs.orders import AMQP_URL, CALLERS, DATABASE_URL, IN_HAND

QUEUE, INBOX = "effect.due", "worker.effect-due"
INSERT = sa.text("INSERT INTO effects (number, due, worker) VALUES (:number, :due, :worker)")
LEFT = sa.text("SELECT EXISTS (SELECT FROM outbox)")


class EffectDue(Event):
    """A task whose effect is one row in the database."""

    event_type, routing_key = "EffectDue", QUEUE
    number: int
    due: float
    padding: str

    @property
    def subject(self) -> str:
        """What it is about."""
        return str(self.number)


PLAN = Plan(
    queues=(Queue(QUEUE, (QUEUE,), "worker", "effects to have"),),
    services=(Service("sender", publishes=(QUEUE,)), Service("worker")),
)


def _engine(connections: int) -> AsyncEngine:
    url = DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://", 1)
    return create_async_engine(url, pool_size=connections, max_overflow=0)


async def prepare() -> None:
    """Make the tables and the queues, as a migration and ``laundry topology apply`` do."""
    statements: list[str] = []
    for create in (create_outbox, create_inbox):
        create(SimpleNamespace(execute=statements.append))
    engine = _engine(1)
    async with engine.begin() as transaction:
        for statement in statements:
            await transaction.exec_driver_sql(statement)
    await engine.dispose()
    parts = urlsplit(AMQP_URL)
    broker = Target(
        os.environ["COMPARE_MANAGEMENT_URL"], unquote(parts.username or ""), unquote(parts.password or "")
    )
    plan = replace(PLAN, vhost=unquote(parts.path[1:]))
    await asyncio.to_thread(apply, broker, plan, None, nodes=int(os.environ["COMPARE_NODES"]))


async def send() -> None:
    """Store each event in a transaction, as with the change that it announces; the relay publishes it."""
    engine, publisher = _engine(CALLERS), Publisher(AMQP_URL, source="sender")
    outbox, relay = Outbox("sender"), Relay(DATABASE_URL, publisher)
    await publisher.wait_connected()
    await relay.start()

    async def add(number: int, due: float, padding: str) -> None:
        async with engine.begin() as transaction:
            await outbox.add(transaction, EffectDue(number=number, due=due, padding=padding))

    async def relayed() -> None:
        """A peer's message is at the broker when sending returns; ours is when its row is gone."""
        async with engine.connect() as connection:
            while await connection.scalar(LEFT):  # noqa: ASYNC110 - a database is asked
                await asyncio.sleep(0.01)

    await send_orders(add, relayed)
    await relay.stop()
    await publisher.stop()
    await engine.dispose()


async def work(*, batched: bool = False) -> None:
    """Have each effect in the transaction that notes its message in the inbox; ``batched``, several."""
    engine, publisher = _engine(IN_HAND), Publisher(AMQP_URL, source="worker")
    broker = make_broker(AMQP_URL, service="worker")
    consumer = EventConsumer(broker, publisher, PLAN, service="worker", service_version="0")

    async def record(effect: EffectDue, meta: EventMeta) -> None:
        async with engine.begin() as transaction:
            if await claim_once(transaction, INBOX, meta.id):
                await transaction.execute(INSERT, _row(effect))

    async def record_several(transaction: AsyncConnection, received: Sequence[Received[EffectDue]]) -> None:
        await transaction.execute(INSERT, [_row(each.event) for each in received])

    if batched:
        together = consumer.on_batch(
            QUEUE, EffectDue, prefetch=IN_HAND, inbox=INBOX, transaction=engine.begin
        )
        together(record_several)
    else:
        consumer.on(QUEUE, EffectDue, prefetch=IN_HAND)(record)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await publisher.start()
    await broker.start()
    await end.wait()
    await broker.stop()
    await publisher.stop()
    await engine.dispose()


def _row(effect: EffectDue) -> dict[str, Any]:
    return {"number": effect.number, "due": effect.due, "worker": os.getpid()}


if __name__ == "__main__":
    # Every span is made and carried in the messages; what a collector costs is not the library's to pay.
    trace.set_tracer_provider(TracerProvider())
    roles: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "prepare": prepare,
        "send": send,
        "work": work,
        "work-batched": partial(work, batched=True),
    }
    uvloop.run(roles[sys.argv[1]]())
