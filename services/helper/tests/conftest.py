"""A helper service on real servers, one for each test."""

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pillow_heif
import pytest
import pytest_asyncio
from PIL import Image

from helper.app import create_app
from helper.settings import Settings
from laundry_events import Publisher
from laundry_events.events import ReadLabel, TaskRead
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import Bucket
from laundry_testing.serving import WITHOUT_BROKER, serving

MakeSettings = Callable[..., Settings]


def picture(
    width: int = 320, height: int = 240, *, colour: int = 90, kind: str = "JPEG", **save: Any
) -> bytes:
    """Make a picture; another colour makes another file."""
    file = io.BytesIO()
    image = Image.new("RGB", (width, height), (colour % 256, 120, 200))
    image.save(file, kind, **({"comment": str(colour)} | save))
    return file.getvalue()


def heic(width: int = 320, height: int = 240, **save: Any) -> bytes:
    """Make a picture as an iPhone sends it."""
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 200)).save(file, "HEIF", **save)
    return file.getvalue()


@dataclass
class Service:
    """A running helper, and what a test asks of it."""

    http: httpx.AsyncClient
    identity: FileIdentity
    messaging: Messaging | None = None

    async def upload(
        self,
        photo: bytes | None = None,
        *,
        branch: str = "b1",
        headers: dict[str, str] | None = None,
        key: str | None = None,
        media_type: str = "image/jpeg",
        **fields: str | list[str],
    ) -> httpx.Response:
        """Upload a photo as helper-1 of b1 and b2."""
        sent = headers or self.identity.bearer("helper", "b1", "b2")
        if key is not None:
            sent = {**sent, "Idempotency-Key": key}
        return await self.http.post(
            "/tasks",
            headers=sent,
            files={"photo": ("photo.jpg", picture() if photo is None else photo, media_type)},
            data={"branch_id": branch, **fields},
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Get as the owner of b1."""
        options.setdefault("headers", self.identity.bearer("owner", "b1"))
        return await self.http.get(path, **options)

    async def confirm(
        self, task_id: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Confirm as the owner of b1."""
        said = {"labels": [{"label": "shirt", "count": 2}]} if body is None else body
        owner = headers or self.identity.bearer("owner", "b1", sub="owner-1")
        return await self.http.post(f"/tasks/{task_id}/confirmation", json=said, headers=owner)

    async def has_status(self, task_id: str, status: str) -> dict[str, Any]:
        """Wait for a task's status; returns the task."""

        async def look() -> dict[str, Any] | None:
            task: dict[str, Any] = (await self.get(f"/tasks/{task_id}")).json()
            return task if task.get("status") == status else None

        found: dict[str, Any] = await eventually(look, what=f"the status {status}")
        return found


def reading(task: dict[str, Any], *labels: str, **changes: Any) -> TaskRead:
    """Say what a model read in a task's photo."""
    values = {
        "task_id": task["id"],
        "task_version": task["version"],
        "branch_id": task["branch_id"],
        "outcome": "read",
        "labels": [ReadLabel(label=label, confidence=0.9) for label in labels or ("shirt",)],
        "needs_review": False,
        "model_version": "m1",
        "read_at": datetime.now(UTC),
        **changes,
    }
    return TaskRead.model_validate(values)


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "helper"


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    """Only what helper touches: each queue costs each test time."""
    return PLAN.around("helper")


@pytest.fixture
def make_settings(database_url: str, bucket: Bucket, identity: FileIdentity) -> MakeSettings:
    """Settings on a test's own database and bucket; no broker listens at the default address."""

    def make(**changes: Any) -> Settings:
        return Settings(
            **{
                **WITHOUT_BROKER,
                "database_url": database_url,
                **bucket.settings,
                **identity.settings,
                **changes,
            }
        )

    return make


@pytest_asyncio.fixture
async def alone(
    make_settings: MakeSettings, database_url: str, identity: FileIdentity
) -> AsyncIterator[Service]:
    """A helper whose broker is away: everything over HTTP must work all the same."""
    async with serving(create_app(make_settings())) as http:
        yield Service(http, identity)


@pytest_asyncio.fixture
async def service(
    make_settings: MakeSettings, messaging: Messaging, database_url: str, identity: FileIdentity
) -> AsyncIterator[Service]:
    """A helper with its broker."""
    async with serving(create_app(make_settings(amqp_url=messaging.amqp_url))) as http:
        await eventually(lambda: messaging.consumers("task.read"), what="a consumer of task.read")
        yield Service(http, identity, messaging)


@pytest_asyncio.fixture
async def reader(messaging: Messaging) -> AsyncIterator[Publisher]:
    """Publishes readings as the AI consumer does."""
    async with messaging.publisher("ai-consumer") as publisher:
        yield publisher
