import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from ai_consumer.app import create_app
from ai_consumer.settings import Settings
from laundry_events import Publisher, new_id
from laundry_events.events import Photo, TaskSubmitted
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.ports import free_port
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging
from laundry_testing.models import KEY, ship
from laundry_testing.plugin import Bucket
from laundry_testing.serving import serving

TaskFor = Callable[..., TaskSubmitted]
MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    """Only what ai-consumer touches: each queue costs each test time."""
    return PLAN.around("ai-consumer")


@pytest.fixture(scope="session")
def task_for() -> TaskFor:
    """Describe a photo as the helper service does; keywords change the description."""

    def make(photo: bytes, **changes: object) -> TaskSubmitted:
        task_id = new_id()
        described = {
            "key": f"photos/{task_id}.jpg",
            "sha256": hashlib.sha256(photo).hexdigest(),
            "bytes": len(photo),
            "media_type": "image/jpeg",
            **changes,
        }
        return TaskSubmitted(
            task_id=task_id,
            task_version=1,
            branch_id="b1",
            helper_id="h1",
            photo=Photo.model_validate(described),
            submitted_at=datetime.now(UTC),
        )

    return make


@pytest.fixture
def make_settings(
    messaging: Messaging, bucket: Bucket, identity: FileIdentity, tmp_path: Path
) -> MakeSettings:
    ship(tmp_path / "models", "shipped-1")

    def make(**changes: object) -> Settings:
        values: dict[str, object] = {
            **identity.settings,
            "amqp_url": messaging.amqp_url,
            **bucket.settings,
            "model_dir": tmp_path / "models",
            "model_public_keys": KEY.public.text,
            "graceful_timeout_s": 3,
            "champion_poll_s": 0.5,
            **changes,
        }
        return Settings.model_validate(values)

    return make


@pytest_asyncio.fixture
async def store(make_settings: MakeSettings) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(make_settings())
    yield store


@pytest_asyncio.fixture
async def helper(messaging: Messaging) -> AsyncIterator[Publisher]:
    """Publishes what the helper service would."""
    async with messaging.publisher("helper") as publisher:
        yield publisher


@pytest.fixture
def replica(
    make_settings: MakeSettings, identity: FileIdentity
) -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Run a replica: ``async with replica() as client``, which asks as an operator."""

    @asynccontextmanager
    async def run(**changes: object) -> AsyncIterator[httpx.AsyncClient]:
        async with serving(create_app(make_settings(**changes))) as client:
            client.headers.update(identity.bearer("operator"))
            yield client

    return run


class Door:
    """A TCP door in front of a server: closed, the server is away for whoever comes through it.

    What begins as ``refuses`` says is answered 403 instead.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        # None that a connection of somebody else can take while the door is closed.
        self.port = free_port()
        self.refuses: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        if self._server is None or not self._server.is_serving():
            # Closed meanwhile.
            writer.close()
            far_writer.close()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer, writer), self._pump(far_reader, writer))
        self._open -= {writer, far_writer}

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        back: asyncio.StreamWriter | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if back is not None and self.refuses is not None and data.startswith(self.refuses):
                    back.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    continue
                target.write(data)
                await target.drain()
        target.close()


@pytest_asyncio.fixture
async def door(bucket: Bucket) -> AsyncIterator[Door]:
    """A door in front of the object store, open."""
    address = urlsplit(bucket.store.endpoint_url)
    door = Door(address.hostname or "", address.port or 80)
    await door.open()
    yield door
    await door.close()
