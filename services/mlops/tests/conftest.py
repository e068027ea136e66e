import hashlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import pytest_asyncio

from laundry_events import Outbox, Publisher, new_id
from laundry_events.events import CountedLabel, Photo, ReadLabel, TaskConfirmed
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging
from laundry_testing.models import KEY, LABELS, photo_of, ship
from laundry_testing.plugin import Bucket
from laundry_testing.serving import serving
from mlops import repository
from mlops.app import create_app
from mlops.manifests import Manifests
from mlops.service.registry import Registry
from mlops.settings import Settings

MakeSettings = Callable[..., Settings]
Confirmed = Callable[..., TaskConfirmed]


async def stock(database: Database, store: ObjectStore, confirmed: Confirmed, count: int) -> None:
    """Lay in examples: photos in the store, their confirmations in the database."""
    async with database.transaction() as session:
        for number in range(count):
            label = LABELS[number % 3]
            photo = photo_of(label, size=(48, 36), seed=number)
            event = confirmed(photo, label)
            await store.put(event.photo.key, photo, media_type="image/jpeg")
            await repository.store_example(session, event, event_id=new_id())


@pytest.fixture
def migrated() -> str:
    """The tables that each test finds."""
    return "mlops"


@pytest.fixture(scope="session")
def broker_plan() -> Plan:
    """Only what mlops touches: each queue costs each test time."""
    return PLAN.around("mlops")


@pytest_asyncio.fixture
async def make_settings(
    messaging: Messaging, bucket: Bucket, identity: FileIdentity, database_url: str, tmp_path: Path
) -> MakeSettings:
    ship(tmp_path / "models", "shipped-1")

    def make(**changes: object) -> Settings:
        values: dict[str, object] = {
            **identity.settings,
            "amqp_url": messaging.amqp_url,
            "database_url": database_url,
            "database_pool": 3,
            **bucket.settings,
            "model_dir": tmp_path / "models",
            "model_signing_key": KEY.text,
            "model_public_keys": KEY.public.text,
            "graceful_timeout_s": 3,
            **changes,
        }
        return Settings.model_validate(values)

    return make


@pytest_asyncio.fixture
async def store(make_settings: MakeSettings) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(make_settings())
    yield store


@pytest.fixture
def registry(database: Database, store: ObjectStore, make_settings: MakeSettings) -> Registry:
    """What a training run has: the models, and the key to sign them."""
    settings = make_settings()
    manifests = Manifests(store, settings.model_signing_key, settings.model_public_keys)
    return Registry(database, store, Outbox("mlops"), manifests)


@pytest_asyncio.fixture
async def helper(messaging: Messaging) -> AsyncIterator[Publisher]:
    """Publishes what the helper service would."""
    async with messaging.publisher("helper") as publisher:
        yield publisher


@pytest.fixture
def service(make_settings: MakeSettings) -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Run the service: ``async with service() as client``."""
    return lambda **changes: serving(create_app(make_settings(**changes)))


@pytest.fixture(scope="session")
def confirmed() -> Confirmed:
    """Describe a confirmation as the helper service does; keywords change it."""

    def make(photo: bytes, label: str, **changes: object) -> TaskConfirmed:
        task_id = new_id()
        values: dict[str, object] = {
            "task_id": task_id,
            "task_version": 3,
            "branch_id": "b1",
            "photo": Photo(
                key=f"photos/{task_id}.jpg",
                sha256=hashlib.sha256(photo).hexdigest(),
                bytes=len(photo),
                media_type="image/jpeg",
            ),
            "read_labels": [ReadLabel(label="pants", confidence=0.7)],
            "model_version": "shipped-1",
            "labels": [CountedLabel(label=label, count=2)],
            "corrected": label != "pants",
            "confirmed_by": "owner-1",
            "confirmed_at": datetime(2026, 5, 1, 12, tzinfo=UTC),
            **changes,
        }
        return TaskConfirmed.model_validate(values)

    return make


@pytest.fixture(scope="session")
def fake_trainer() -> ModuleType:
    """The program that stands in for the trainer, which also makes the models that it makes."""
    return _beside("fake_trainer")


@pytest.fixture(scope="session")
def fake_cluster() -> ModuleType:
    """A cluster's API over HTTP."""
    return _beside("fake_cluster")


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
