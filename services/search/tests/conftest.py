"""A search service on real servers, one for each test."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from laundry_events.tables import outbox
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import WITHOUT_BROKER, serving
from search.app import create_app
from search.settings import Settings

MakeSettings = Callable[..., Settings]
WORDS = {"title": "조용한 아침", "text": "Quiet sauna from six."}


@dataclass
class World:
    """A running service, and what a test asks of it."""

    http: httpx.AsyncClient
    identity: FileIdentity
    database: Database

    async def likes(self, customer: str, **tags: float) -> None:
        """State a customer's taste."""
        answer = await self.http.put(
            "/customers/me/preference", json={"tags": tags}, headers=self.customer(customer)
        )
        assert answer.status_code == 200, answer.text

    async def state(self, branch: str, *, key: str | None = None, **tags: float) -> dict[str, Any]:
        """State a branch's preference."""
        headers = {**self.owner(branch), **({"Idempotency-Key": key} if key else {})}
        answer = await self.http.post(
            f"/branches/{branch}/preferences", json={"tags": tags, **WORDS}, headers=headers
        )
        assert answer.status_code in {200, 201}, answer.text
        body: dict[str, Any] = answer.json()
        assert answer.headers["location"] == f"/branches/{branch}/preferences/{body['id']}"
        return body

    async def matching(self, customer: str, **query: Any) -> dict[str, Any]:
        """Ask what suits a customer."""
        answer = await self.http.get("/branches/matching", headers=self.customer(customer), params=query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def customer(self, sub: str) -> dict[str, str]:
        """Return the header of a customer's token."""
        return self.identity.bearer("customer", sub=sub)

    def owner(self, *branches: str) -> dict[str, str]:
        """Return the header of an owner's token."""
        return self.identity.bearer("owner", *branches, sub="owner-1")

    async def events(self) -> list[dict[str, Any]]:
        """Bodies of the events that wait in the outbox, oldest first."""
        async with self.database.session() as session:
            found = await session.execute(sa.select(outbox.c.body).order_by(outbox.c.id))
            return [json.loads(body) for body in found.scalars()]

    async def count(self, table: sa.Table) -> int:
        async with self.database.session() as session:
            return (await session.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "search"


@pytest.fixture
def make_settings(database_url: str, identity: FileIdentity) -> MakeSettings:
    """Settings on a test's own database; no broker listens at the default address."""

    def make(**changes: Any) -> Settings:
        return Settings(**{**WITHOUT_BROKER, "database_url": database_url, **identity.settings, **changes})

    return make


@pytest_asyncio.fixture
async def world(
    make_settings: MakeSettings, identity: FileIdentity, database: Database
) -> AsyncIterator[World]:
    """The service without a broker: what it would publish stays in the outbox."""
    async with serving(create_app(make_settings())) as http:
        yield World(http, identity, database)
