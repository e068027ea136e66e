"""The service's two processes on real servers, one set for each test."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from laundry_events import Publisher, new_id
from laundry_events.envelope import encode
from laundry_events.events import EquipmentFault, PreferenceCreated, PreferenceMatch
from laundry_events.headers import REPLAYED
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.daytime import zone_by_day
from laundry_servers.local_http import TRUSTS_NOBODY
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import LocalFcm
from laundry_testing.serving import WITHOUT_BROKER, serving
from notification.app import create_app, create_faults_app
from notification.settings import Settings
from notification.web_push import base64url

MakeSettings = Callable[..., Settings]
VAPID_KEY = base64url.encode(secrets.token_bytes(32))


def a_fault(**changes: Any) -> EquipmentFault:
    """Make a fault of washer-3 in b1."""
    values = {
        "fault_id": new_id(),
        "equipment_id": "washer-3",
        "branch_id": "b1",
        "kind": "washer",
        "cause": "fault_code",
        "fault_code": "E21",
        "detected_at": datetime.now(UTC),
        **changes,
    }
    return EquipmentFault.model_validate(values)


def a_preference(*customers: str, **changes: Any) -> PreferenceCreated:
    """Make a preference of b1 that suits these customers."""
    values = {
        "preference_id": new_id(),
        "branch_id": "b1",
        "title": "조용한 아침 사우나",
        "text": "Quiet sauna from six.",
        "tags": {"quiet": 0.9, "sauna": 0.8},
        "matches": [
            PreferenceMatch(customer_id=customer, score=0.9, reasons=["quiet", "sauna"])
            for customer in customers
        ],
        "created_at": datetime.now(UTC),
        **changes,
    }
    return PreferenceCreated.model_validate(values)


class Phones:
    """The phones' side: what the local FCM took."""

    def __init__(self, fcm: LocalFcm) -> None:
        self.client = httpx.AsyncClient(base_url=fcm.url, timeout=10, verify=TRUSTS_NOBODY)

    async def got(self, token: str) -> list[dict[str, Any]]:
        """Every push that a phone got."""
        found: list[dict[str, Any]] = (await self.client.get("/messages", params={"token": token})).json()
        return found

    async def gets(self, token: str, count: int = 1, *, within_s: float = 30) -> list[dict[str, Any]]:
        """Wait until a phone got so many."""

        async def look() -> list[dict[str, Any]] | None:
            found = await self.got(token)
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = await eventually(
            look, within_s=within_s, what=f"push {count} to {token}"
        )
        return found

    async def control(self, **how: Any) -> None:
        """Make FCM misbehave; nothing given makes it well."""
        (await self.client.put("/control", json=how)).raise_for_status()

    async def subscribe(self, key: str) -> dict[str, Any]:
        """Subscribe a browser at the local push service; returns its ``PushSubscription``."""
        made = await self.client.post("/web-push/subscriptions", json={"applicationServerKey": key})
        assert made.status_code == 201, made.text
        subscription: dict[str, Any] = made.json()
        return subscription

    async def uninstall(self, token: str) -> None:
        """Let FCM no longer know a token."""
        (await self.client.delete(f"/tokens/{token}")).raise_for_status()


@dataclass
class World:
    """The HTTP process, the publisher of other services, and the phones."""

    http: httpx.AsyncClient
    identity: FileIdentity
    phones: Phones
    database: Database
    messaging: Messaging | None = None
    publisher: Publisher | None = field(default=None)

    async def agree(self, sub: str, *, zone: str | None = None) -> None:
        """Let a customer agree to be told, where it is day."""
        headers = self.identity.bearer("customer", sub=sub)
        words = (await self.http.get("/customers/me/consent", headers=headers)).json()["text"]
        asked = {"given": True, "text_version": words["version"], "time_zone": zone or zone_by_day()}
        answer = await self.http.put("/customers/me/consent", json=asked, headers=headers)
        assert answer.status_code == 200, answer.text

    async def register(
        self,
        role: str,
        *branches: str,
        sub: str,
        token: str | None = None,
        language: str = "ko",
        agrees: bool = True,
    ) -> str:
        """Register a phone, of a customer who agrees to be told; returns its token."""
        if role == "customer" and agrees:
            await self.agree(sub)
        token = token or f"phone-{secrets.token_hex(8)}"
        headers = {**self.identity.bearer(role, *branches, sub=sub), "Accept-Language": language}
        answer = await self.http.post(
            "/devices", json={"token": token, "platform": "android"}, headers=headers
        )
        assert answer.status_code in {200, 201}, answer.text
        return token

    async def subscribe(self, role: str, *branches: str, sub: str, language: str = "ko") -> str:
        """Register a browser that subscribed at the local push service; returns its endpoint."""
        headers = {**self.identity.bearer(role, *branches, sub=sub), "Accept-Language": language}
        key = (await self.http.get("/devices/web-push/key", headers=headers)).json()["public_key"]
        subscription = await self.phones.subscribe(key)
        body = {**subscription, "name": "Chrome · Android"}
        answer = await self.http.post("/devices/web-push/subscriptions", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        endpoint: str = subscription["endpoint"]
        return endpoint

    async def history(self, role: str, *branches: str, sub: str, **query: Any) -> list[dict[str, Any]]:
        """Read a user's history."""
        headers = self.identity.bearer(role, *branches, sub=sub)
        answer = await self.http.get("/notifications", headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def settled(self, role: str, *branches: str, sub: str, state: str) -> list[dict[str, Any]]:
        """Wait until a user has a notification and every one has this state."""

        async def look() -> list[dict[str, Any]] | None:
            items = await self.history(role, *branches, sub=sub)
            return items if items and all(item["state"] == state for item in items) else None

        items: list[dict[str, Any]] = await eventually(look, what=f"the state {state} for {sub}")
        return items

    async def count(self, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
        """Count the rows that meet the conditions."""
        async with self.database.session() as session:
            found = await session.execute(sa.select(sa.func.count()).select_from(table).where(*conditions))
            return found.scalar_one()

    async def publish(self, event: Any, *, event_id: str | None = None, replayed: bool = False) -> str:
        """Publish as the service that owns the event would; or as it is told again from the history."""
        assert self.publisher is not None
        outgoing = encode(event, source="/monitoring", event_id=event_id)
        if replayed:
            outgoing.headers[REPLAYED] = "2026-05-01T12:00:00+00:00"
        await self.publisher.send_event(outgoing)
        return outgoing.id


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "notification"


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    """Only what notification touches: each queue costs each test time."""
    return PLAN.around("notification")


@pytest.fixture
def make_settings(database_url: str, identity: FileIdentity, fcm: LocalFcm) -> MakeSettings:
    """Settings on a test's own database; no broker listens at the default address."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            **WITHOUT_BROKER,
            "database_url": database_url,
            "fcm_url": fcm.url,
            "web_push_private_key": VAPID_KEY,
            "web_push_subject": "mailto:operator@laundry.example",
            "web_push_services": f"default,{fcm.url}",
            "match_pushes_per_second": 500,
            # A busy machine makes no push be tried twice and lets nobody be told "busy"; tests of hanging
            # pushes and of held rows say less.
            "fcm_attempt_timeout_s": 30,
            "lock_timeout_s": 60,
            **identity.settings,
            **changes,
        }
        return Settings(**values)

    return make


@pytest_asyncio.fixture
async def phones(fcm: LocalFcm) -> AsyncIterator[Phones]:
    phones = Phones(fcm)
    yield phones
    await phones.control()
    await phones.client.aclose()


@pytest_asyncio.fixture
async def alone(
    make_settings: MakeSettings,
    identity: FileIdentity,
    phones: Phones,
    database: Database,
    tuned: dict[str, Any],
) -> AsyncIterator[World]:
    """The HTTP process without a broker: it must serve all the same."""
    async with serving(create_app(make_settings(**tuned))) as http:
        yield World(http, identity, phones, database)


@pytest_asyncio.fixture
async def publisher(messaging: Messaging) -> AsyncIterator[Publisher]:
    async with messaging.publisher("monitoring") as publisher:
        yield publisher


@pytest.fixture
def tuned() -> dict[str, Any]:
    """Settings that a test's processes get; a test module may override it."""
    return {}


@pytest_asyncio.fixture
async def world(
    make_settings: MakeSettings,
    identity: FileIdentity,
    phones: Phones,
    database: Database,
    messaging: Messaging,
    publisher: Publisher,
    tuned: dict[str, Any],
) -> AsyncIterator[World]:
    """The service's two processes, both consuming."""
    settings = make_settings(amqp_url=messaging.amqp_url, **tuned)
    async with serving(create_app(settings)) as http, serving(create_faults_app(settings)):
        for queue in ("equipment.fault", "preference.created"):
            await eventually(partial(messaging.consumers, queue), what=f"a consumer of {queue}")
        yield World(http, identity, phones, database, messaging, publisher)
