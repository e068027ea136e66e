"""Recreates a queue: no broker changes the type or the Raft group size of one that exists.

Messages are kept the whole time. What arrives goes to a queue beside it, at first to both; the old one is
emptied by its consumers (dead letters: message by message into the one beside) and deleted only when it is
empty; what waited beside is copied into the new one, each message confirmed before it is removed. One that
came to both is one effect, by the consumers' inbox. Stopped at any point, a second run continues.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from laundry_events import definitions
from laundry_events.broker_plan import Target, checked
from laundry_events.plan import Plan
from laundry_servers.errors import LaundryError

BESIDE = ".beside"
# A quorum queue reports unacknowledged messages every 5 s.
TELLS_SECONDS = 5.5
LOOK_SECONDS = 0.25
DEAD_SUFFIX = ".dlq"
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Recreated:
    """What was done: how many messages waited in the queue beside it."""

    queue: str
    kept: int


class _Recreation:
    def __init__(self, client: httpx.Client, plan: Plan, name: str, nodes: int) -> None:
        self.client, self.name, self.beside = client, name, f"{name}{BESIDE}"
        self.vhost = quote(plan.vhost, safe="")
        self.planned = {q["name"]: q for q in definitions.queues(plan, vhost=plan.vhost, nodes=nodes)}[name]
        self.bindings = [b for b in definitions.bindings(plan, vhost=plan.vhost) if b["destination"] == name]

    def find(self, name: str) -> dict[str, Any] | None:
        answer = self.client.get(f"/api/queues/{self.vhost}/{quote(name, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = checked(answer).json()
        return found

    def as_planned(self, found: dict[str, Any]) -> bool:
        wanted: dict[str, Any] = self.planned["arguments"]
        return {name: found["arguments"].get(name) for name in wanted} == wanted

    def declare(self, name: str) -> None:
        body = {"durable": True, "arguments": self.planned["arguments"]}
        checked(self.client.put(f"/api/queues/{self.vhost}/{quote(name, safe='')}", json=body))

    def delete(self, name: str) -> None:
        checked(self.client.delete(f"/api/queues/{self.vhost}/{quote(name, safe='')}"))

    def bind(self, name: str) -> None:
        for each in self.bindings:
            path = f"/api/bindings/{self.vhost}/e/{quote(each['source'], safe='')}/q/{quote(name, safe='')}"
            checked(self.client.post(path, json={"routing_key": each["routing_key"], "arguments": {}}))

    def unbind(self, name: str) -> None:
        path = f"/api/queues/{self.vhost}/{quote(name, safe='')}/bindings"
        for each in checked(self.client.get(path)).json():
            if each["source"]:
                self._unbind_one(name, each)

    def _unbind_one(self, name: str, each: dict[str, Any]) -> None:
        source, key = quote(each["source"], safe=""), quote(each["properties_key"], safe="")
        answer = self.client.delete(f"/api/bindings/{self.vhost}/e/{source}/q/{quote(name, safe='')}/{key}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            checked(answer)

    def unacknowledged(self) -> int:
        found = self.find(self.name)
        return 0 if found is None else int(found.get("messages_unacknowledged", 0))


async def recreate(
    target: Target,
    urls: Sequence[str],
    plan: Plan,
    name: str,
    *,
    seconds: float,
    note: Callable[[str], None] = lambda _: None,
) -> Recreated | None:
    """Recreate a queue if its arguments are not the planned ones.

    Args:
        urls: the broker's addresses, as an administrator.
        seconds: how long its consumers may take to empty it.
        note: is told what happens.

    Returns:
        None if it is as planned.

    Raises:
        LaundryError: it would lose messages; then everything is as before.
        PlanRefused.
    """
    kinds = {each: queue.kind for queue in plan.queues for each in queue.limits}
    if name not in kinds:
        raise LaundryError(f"The plan has no queue {name!r}. It has: laundry topology show")
    with target.client() as client:
        nodes = len(checked(client.get("/api/nodes")).json())
        work = _Recreation(client, plan, name, nodes)
        found, left = work.find(name), work.find(work.beside)
        if left is None and (found is None or work.as_planned(found)):
            if found is None:
                raise LaundryError(f"The broker has no queue {name}. Make it: laundry topology apply")
            return None
        if kinds[name] == "stream" or (found is not None and found.get("type") == "stream"):
            raise LaundryError(f"{name} is a stream: it would lose what it keeps for those who come later.")
        try:
            async with await aio_pika.connect(urls[0], timeout=TIMEOUT_SECONDS) as connection:
                _check_same(client, connection)
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                return await _recreate(work, channel, found, seconds, note)
        except (AMQPError, OSError, TimeoutError) as error:
            raise LaundryError(
                f"{type(error).__name__} {error}. Nothing is lost; go on with the same command."
            ) from error


def _check_same(client: httpx.Client, connection: AbstractConnection) -> None:
    """Raise LaundryError for the addresses of two brokers: what is empty at one may be full at the other."""
    managed = checked(client.get("/api/cluster-name")).json()["name"]
    transport = connection.transport
    spoken = transport.connection.server_properties.get("cluster_name") if transport else None
    spoken = spoken.decode(errors="replace") if isinstance(spoken, bytes) else spoken
    if spoken is not None and spoken != managed:
        raise LaundryError(
            f"The management address is of the broker {managed}, the AMQP address of {spoken}: nothing was "
            "changed. Name both addresses of one broker."
        )


async def _recreate(
    work: _Recreation,
    channel: AbstractChannel,
    found: dict[str, Any] | None,
    seconds: float,
    note: Callable[[str], None],
) -> Recreated:
    if found is not None and not work.as_planned(found):
        note(f"what arrives goes to {work.beside}")
        work.declare(work.beside)
        work.bind(work.beside)
        work.unbind(work.name)
        note(f"{work.name} is emptied")
        if not await _emptied(work, channel, seconds):
            work.bind(work.name)
            work.unbind(work.beside)
            await _move(channel, work.beside, work.name)
            work.delete(work.beside)
            raise LaundryError(
                f"{work.name} still holds messages after {seconds:.0f} s; to delete it would lose them."
                " Everything is as before. Wait until its consumers have caught up, or give them"
                " longer: --seconds"
            )
        work.delete(work.name)
    note(f"{work.name} is recreated")
    work.declare(work.name)
    work.bind(work.name)
    work.unbind(work.beside)
    kept = await _move(channel, work.beside, work.name)
    work.delete(work.beside)
    return Recreated(work.name, kept)


async def _emptied(work: _Recreation, channel: AbstractChannel, seconds: float) -> bool:
    """Wait until nothing is in the old queue or in flight. Dead letters, which nobody takes, are moved."""
    began = time.monotonic()
    while True:
        if work.name.endswith(DEAD_SUFFIX):
            await _move(channel, work.name, work.beside)
        waited = time.monotonic() - began
        # Ready messages are reported at once, unacknowledged ones some seconds late.
        if waited >= TELLS_SECONDS and not await _ready(channel, work.name) and not work.unacknowledged():
            return True
        if waited > max(seconds, TELLS_SECONDS + 1):
            return False
        await asyncio.sleep(LOOK_SECONDS)


async def _ready(channel: AbstractChannel, name: str) -> int:
    queue = await channel.declare_queue(name, passive=True, timeout=TIMEOUT_SECONDS)
    return queue.declaration_result.message_count or 0


async def _move(channel: AbstractChannel, source: str, to: str) -> int:
    """Copy each message, confirmed, then remove it; return how many."""
    queue = await channel.declare_queue(source, passive=True, timeout=TIMEOUT_SECONDS)
    moved = 0
    while (message := await queue.get(fail=False, timeout=TIMEOUT_SECONDS)) is not None:
        await channel.default_exchange.publish(_copy(message), to, mandatory=True, timeout=TIMEOUT_SECONDS)
        await message.ack()
        moved += 1
    return moved


def _copy(message: AbstractIncomingMessage) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        # The new queue counts its own deliveries.
        headers={name: value for name, value in message.headers.items() if name != "x-delivery-count"},
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
