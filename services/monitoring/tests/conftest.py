import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine

from laundry_events.plan import Plan
from laundry_events.tables import outbox
from laundry_events.topology import PLAN
from laundry_servers.identity import AUDIENCE, ISSUER
from laundry_servers.local_http import TRUSTS_NOBODY
from laundry_servers.ports import free_port
from laundry_testing.messaging import eventually
from laundry_testing.plugin import LocalFcm
from monitoring.app import create_app
from monitoring.settings import Settings
from monitoring.tables import equipment, fault, sample

NOBODY = "amqp://nobody:nothing@127.0.0.1:9/none"


@dataclass
class Replica:
    """A running monitoring service."""

    url: str
    app: Any
    client: httpx.AsyncClient
    world: "World"

    async def post(self, *samples: dict[str, Any], token: str | None = None) -> httpx.Response:
        return await self.client.post(
            "/telemetry",
            json={"samples": list(samples)},
            headers=self.world.bearer(token or self.world.operator),
        )

    async def get(self, path: str, *, token: str | None = None, **query: Any) -> httpx.Response:
        headers = self.world.bearer(token or self.world.operator)
        return await self.client.get(path, params=query, headers=headers)


class World:
    """A database with its tables, an identity provider, and as many replicas as a test wants."""

    def __init__(self, database_url: str, fcm: LocalFcm) -> None:
        self.database_url = database_url
        self.identity, self.jwks_url = fcm.identity, fcm.jwks_url
        self.engine = create_async_engine(database_url)
        self.operator = self.token("operator")

    def token(self, role: str, *branches: str, sub: str | None = None, seconds: int = 600) -> str:
        return self.identity.mint(role=role, branches=branches, subject=sub, seconds=seconds)

    @staticmethod
    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def settings(self, amqp_url: str = NOBODY, **changes: Any) -> Settings:
        return Settings(
            service_name="monitoring",
            amqp_url=amqp_url,
            database_url=self.database_url,
            jwks_url=self.jwks_url,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            **changes,
        )

    @asynccontextmanager
    async def replica(
        self, amqp_url: str = NOBODY, *, port: int | None = None, **changes: Any
    ) -> AsyncIterator[Replica]:
        app = create_app(self.settings(amqp_url, **changes))
        port = port or free_port()
        server = uvicorn.Server(
            uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=5, access_log=False)
        )
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started or serving.done(), what="the service's start")
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=20, verify=TRUSTS_NOBODY) as client:
                yield Replica(url, app, client, self)
        finally:
            app.state.stopping.set()
            server.should_exit = True
            await asyncio.wait_for(serving, 90)

    async def events(self) -> list[dict[str, Any]]:
        """Bodies of the events that wait in the outbox, oldest first."""
        async with self.engine.connect() as connection:
            rows = await connection.execute(sa.select(outbox.c.body).order_by(outbox.c.id))
            return [json.loads(row.body) for row in rows]

    async def faults(self, equipment_id: str) -> list[Any]:
        async with self.engine.connect() as connection:
            query = sa.select(fault).where(fault.c.equipment_id == equipment_id).order_by(fault.c.detected_at)
            return list(await connection.execute(query))

    async def samples(self, equipment_id: str) -> int:
        async with self.engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(sample)
            return int(
                (await connection.execute(query.where(sample.c.equipment_id == equipment_id))).scalar_one()
            )

    async def heard_ago(self, equipment_id: str, seconds: float) -> None:
        """Let the newest sign of life be as old."""
        async with self.engine.begin() as connection:
            await connection.execute(
                sa.update(equipment)
                .where(equipment.c.id == equipment_id)
                .values(heard_at=sa.func.now() - timedelta(seconds=seconds))
            )

    async def execute(self, statement: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement)


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "monitoring"


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    """Only what monitoring touches: each queue costs each test time."""
    return PLAN.around("monitoring")


@pytest_asyncio.fixture
async def world(database_url: str, fcm: LocalFcm) -> AsyncIterator[World]:
    world = World(database_url, fcm)
    yield world
    await world.engine.dispose()


@pytest_asyncio.fixture
async def service(world: World) -> AsyncIterator[Replica]:
    """One replica without a broker: what it would publish stays in the outbox."""
    async with world.replica() as replica:
        yield replica


@pytest.fixture
def a_sample() -> Callable[..., dict[str, Any]]:
    """Make a sample; ``at`` is in seconds from now."""
    started = datetime.now(UTC)

    def make(equipment_id: str = "washer-1", *, at: float = 0, **changes: Any) -> dict[str, Any]:
        made = {
            "equipment_id": equipment_id,
            "branch_id": "b1",
            "kind": "washer",
            "recorded_at": (started + timedelta(seconds=at)).isoformat(),
            "metrics": {"temperature_celsius": 60.0},
            **changes,
        }
        return {name: value for name, value in made.items() if value is not None}

    return make
