"""An operations service on real servers, with the broker login that the plan gives it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
import pytest_asyncio
from aio_pika.abc import FieldValue

from laundry_events import Publisher, new_id
from laundry_events.definitions import permissions, topic_permissions
from laundry_events.envelope import encode
from laundry_events.events import PersonErased, PersonForgotten, TaskRead
from laundry_events.plan import DEAD_EXCHANGE
from laundry_events.topology import PLAN
from laundry_service.migrate import upgrade
from laundry_service.personal_data.erasing import queue_of
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.serving import serving
from operations.app import create_app
from operations.settings import Settings

QUEUE, DEAD = "task.read", "task.read.dlq"
FAILED: dict[str, FieldValue] = {
    "x-attempts": 4,
    "x-dead-reason": "retries-exhausted",
    "x-last-failed-at": "2026-05-01T10:00:07.000Z",
    "x-error-class": "RuntimeError",
    "x-error-message": "the database is away",
    "traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
}


async def bury(messaging: Messaging, *ids: str, **headers: Any) -> None:
    """Put dead letters where the consumer would."""
    for id_ in ids:
        event = TaskRead.model_validate(
            {
                "task_id": id_,
                "task_version": 1,
                "branch_id": "b1",
                "outcome": "read",
                "model_version": "m1",
                "read_at": "2026-05-01T10:00:00Z",
            }
        )
        outgoing = encode(event, source="/tests", event_id=id_)
        await messaging.publish_raw(
            DEAD_EXCHANGE,
            DEAD,
            outgoing.body,
            headers={**outgoing.headers, **FAILED, **headers},
            message_id=id_,
        )


async def holds(messaging: Messaging, queue: str, number: int) -> None:
    """Wait until so many messages are ready."""

    async def there() -> bool:
        return await messaging.count(queue) == number

    await eventually(there, what=f"{number} messages in {queue}")


@dataclass
class World:
    """A running service, and what a test asks of it."""

    http: httpx.AsyncClient
    identity: FileIdentity
    messaging: Messaging

    def operator(self, sub: str = "op-1") -> dict[str, str]:
        return self.identity.bearer("operator", sub=sub)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, headers=self.operator(), params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int, sub: str = "op-1", **body: Any) -> Any:
        answer = await self.http.post(path, headers=self.operator(sub), json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def ended(self, job: str) -> Any:
        async def end() -> Any:
            found = await self.get(f"/jobs/{job}")
            return found if found["state"] not in ("queued", "running") else None

        return await eventually(end, what="the job's end")


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "operations"


@pytest_asyncio.fixture
async def operator_url(messaging: Messaging) -> AsyncIterator[str]:
    """The broker's address for a user with no more rights than the plan gives to operations."""
    broker, name = messaging.broker, f"operations-{messaging.vhost}"
    login, vhost = (broker.username, broker.password), quote(messaging.vhost, safe="")
    async with httpx.AsyncClient(base_url=broker.management_url, auth=login, timeout=30) as admin:

        async def put(path: str, body: dict[str, Any]) -> None:
            (await admin.put(path, json=body)).raise_for_status()

        await put(f"/api/users/{name}", {"password": "not-secret", "tags": "management"})
        for found in permissions(PLAN, vhost=messaging.vhost):
            if found["user"] == "operations":
                await put(f"/api/permissions/{vhost}/{name}", found)
        for found in topic_permissions(PLAN, vhost=messaging.vhost):
            if found["user"] == "operations":
                await put(f"/api/topic-permissions/{vhost}/{name}", found)
        yield f"amqp://{name}:not-secret@{urlsplit(messaging.amqp_url).netloc.split('@')[-1]}/{vhost}"
        await admin.delete(f"/api/users/{name}")


@pytest.fixture
def settings(operator_url: str, messaging: Messaging, database_url: str, identity: FileIdentity) -> Settings:
    return Settings(
        amqp_url=operator_url,
        database_url=database_url,
        management_urls=messaging.broker.management_urls,
        log_level="WARNING",
        graceful_timeout_s=3,
        samples_every_s=0.5,
        **identity.settings,
    )


@pytest_asyncio.fixture
async def world(
    settings: Settings, database_url: str, messaging: Messaging, identity: FileIdentity
) -> AsyncIterator[World]:
    async with serving(create_app(settings)) as http:
        yield World(http, identity, messaging)


@pytest_asyncio.fixture
async def hurried(
    settings: Settings, database_url: str, messaging: Messaging, identity: FileIdentity
) -> AsyncIterator[World]:
    """Tokens that end within a second, so that an erasure can be completed in a test."""
    await upgrade("operations", database_url)
    changes = {"erasure_token_life_s": 1.0, "erasure_check_s": 0.2, "counts_lag_s": 0.1}
    async with serving(create_app(settings.model_copy(update=changes))) as http:
        yield World(http, identity, messaging)


class Services:
    """Answers what every service would."""

    def __init__(self, messaging: Messaging, publisher: Publisher) -> None:
        self.messaging = messaging
        self.publisher = publisher

    async def asked(self, service: str) -> PersonErased:
        return PersonErased.model_validate_json((await self.messaging.take(queue_of(service))).body)

    async def answer(self, *services: str, rows: int = 1) -> PersonErased:
        for service in services:
            asked = await self.asked(service)
            answer = PersonForgotten(
                erasure_id=asked.erasure_id,
                attempt=asked.attempt,
                service=service,
                rows={"things": rows},
                forgotten_at=asked.requested_at,
            )
            id_ = new_id()
            for _ in range(2):
                await self.publisher.publish(answer, event_id=id_)
        return asked


@pytest_asyncio.fixture
async def services(messaging: Messaging) -> AsyncIterator[Services]:
    async with messaging.publisher("tests") as publisher:
        yield Services(messaging, publisher)


async def becomes(world: World, id_: str, state: str, **more: Any) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = await world.get(f"/people/erasures/{id_}")
        return found if {"state": state, **more}.items() <= found.items() else None

    found: dict[str, Any] = await eventually(look, what=f"the erasure {state}")
    return found
