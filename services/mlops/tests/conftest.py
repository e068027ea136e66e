import csv
import hashlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio

from laundry_events import Outbox, Publisher, new_id
from laundry_events.events import CountedLabel, Photo, ReadLabel, TaskConfirmed
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_learning import dataset
from laundry_learning.holdout import STORY_HOUSEHOLDS, photos_from, write_beside
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
            await repository.store_examples(session, {new_id(): event})


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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Training photos: of households that are held out, and of others."""
    folder = tmp_path / "data" / "clothing"
    folder.mkdir(parents=True)
    held = sorted(dataset.holdout_households() - set(STORY_HOUSEHOLDS))[:5]
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "sender_id", "label", "kids"])
        for number in range(60):
            label = LABELS[number % 3]
            (folder / f"{number}.jpg").write_bytes(photo_of(label, size=(40, 40), seed=5000 + number))
            table.writerow([f"{number}.jpg", held[number % 5] if number < 30 else "none", label, "False"])
    return tmp_path / "data"


@pytest.fixture
def training(photos: Path, tmp_path: Path, fake_trainer: ModuleType) -> Callable[[str], dict[str, Any]]:
    """Settings of a service that trains with the stand-in, and the shipped model that it starts from."""
    fake_trainer.put(tmp_path / "models", "confused-1", fake_trainer.CONFUSED)
    write_beside(tmp_path / "models", *photos_from(photos))

    def settings(mode: str) -> dict[str, Any]:
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\n[ "$1" = -c ] && exit 0\n[ "$2" = laundry_training.tune ] || exit 9\n'
            f'exec "{sys.executable}" "{fake_trainer.__file__}" {mode} "$3"\n'
        )
        python.chmod(0o755)
        return {
            "training_data": photos,
            "training_python": python,
            "training_work": tmp_path / "work",
            "training_threads": 1,
        }

    return settings
