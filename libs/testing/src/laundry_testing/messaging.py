"""A broker with the whole plan applied, for one test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from laundry_events import Publisher, wire  # noqa: F401 - a test may look at what a stranger sent
from laundry_events.definitions import definitions
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.addresses import BrokerAddress, amqp_url

DEADLINE_S = 40.0
"""For what takes a second at most on a machine with nothing else to do."""


async def eventually(condition: Callable[[], Any], *, within_s: float = DEADLINE_S, what: str = "it") -> Any:
    """Ask until the answer (of a function or a coroutine function) is true; fail after the deadline.

    A question that has no answer in its own time is asked again.
    """
    answer: Any = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    answer = condition()
                    if asyncio.iscoroutine(answer):
                        answer = await answer
                    if answer:
                        return answer
                except TimeoutError as error:
                    answer = error
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {within_s:g} s; last answer {answer!r}") from None


@dataclass(frozen=True, slots=True)
class Messaging:
    """A virtual host of one test that holds every queue of the plan."""

    amqp_url: str = field(repr=False)
    vhost: str
    broker: BrokerAddress

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a confirming channel as the administrator."""
        connection = await aio_pika.connect(self.amqp_url, timeout=DEADLINE_S)
        async with connection, connection.channel(on_return_raises=True) as channel:
            yield channel

    @asynccontextmanager
    async def publisher(self, source: str) -> AsyncIterator[Publisher]:
        """Publish what a service would, as the administrator."""
        publisher = Publisher(self.amqp_url, source=source, timeout_s=DEADLINE_S, stalled_s=DEADLINE_S)
        try:
            await publisher.wait_connected()
            yield publisher
        finally:
            await publisher.stop()

    @asynccontextmanager
    async def user(self, service: str, plan: Plan = PLAN) -> AsyncIterator[str]:
        """Create a user with a service's rights for the duration of the block; yields its URL."""
        name, password = f"{service}-{self.vhost}", secrets.token_hex(16)
        document = definitions(
            plan, dict.fromkeys((each.name for each in plan.services), password), vhost=self.vhost
        )
        own = {
            kind: [{**each, "user": name} for each in document[kind] if each["user"] == service]
            for kind in ("permissions", "topic_permissions")
        }
        users = [{**each, "name": name} for each in document["users"] if each["name"] == service]
        login = (self.broker.username, self.broker.password)
        async with httpx.AsyncClient(
            base_url=self.broker.management_url, auth=login, timeout=30, verify=self.broker.verify
        ) as client:
            (await client.post("/api/definitions", json={"users": users, **own})).raise_for_status()
            try:
                yield amqp_url(self.amqp_url, username=name, password=password, vhost=self.vhost)
            finally:
                (await client.delete(f"/api/users/{name}")).raise_for_status()

    async def publish_raw(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
    ) -> None:
        """Publish bytes with these headers, which need not be an event."""
        async with self.channel() as channel:
            target = await channel.get_exchange(exchange, ensure=False)
            message = aio_pika.Message(
                body, headers=dict(headers or {}), message_id=message_id, delivery_mode=2
            )
            await target.publish(message, routing_key, timeout=DEADLINE_S)

    async def take(self, queue: str, *, within_s: float = DEADLINE_S) -> AbstractIncomingMessage:
        """Consume the next message of a queue; fail if none comes."""
        async with self.channel() as channel:
            source = await channel.get_queue(queue, ensure=False)

            async def get() -> AbstractIncomingMessage | None:
                return await source.get(fail=False, timeout=within_s, no_ack=True)

            message: AbstractIncomingMessage = await eventually(
                get, within_s=within_s, what=f"a message in {queue}"
            )
            return message

    async def count(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        async with self.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            return int(declared.declaration_result.message_count or 0)

    async def consumers(self, queue: str) -> int:
        """How many consumers a queue has."""
        async with self.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            return int(declared.declaration_result.consumer_count or 0)


def apply_plan(broker: BrokerAddress, vhost: str, plan: Plan = PLAN) -> None:
    """Declare a whole plan in a virtual host. Raises httpx.HTTPError."""
    login = (broker.username, broker.password)
    answer = httpx.post(
        f"{broker.management_url}/api/definitions",
        json=definitions(plan, vhost=vhost),
        auth=login,
        timeout=30,
        verify=broker.verify,
    )
    answer.raise_for_status()
