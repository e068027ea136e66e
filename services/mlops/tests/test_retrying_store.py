"""A job asks the object store again for a while, and keeps what it has trained when that is not enough."""

from io import BytesIO
from typing import IO, Any

import pytest

from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops.jobs import retrying_store
from mlops.jobs.retrying_store import RetryingStore


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> RetryingStore:
    monkeypatch.setattr(retrying_store, "PAUSES_S", (0.0, 0.0))
    return RetryingStore.__new__(RetryingStore)


async def test_what_comes_back_in_time_is_not_missed(
    store: RetryingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    async def put(self: ObjectStore, key: str, body: bytes | IO[bytes], *, media_type: str) -> None:
        sent.append(body if isinstance(body, bytes) else body.read())
        if len(sent) < 3:
            raise ObjectStoreUnavailable("away")

    monkeypatch.setattr(ObjectStore, "put", put)
    await store.put("k", b"whole", media_type="text/plain")
    assert sent == [b"whole"] * 3
    sent.clear()
    file = BytesIO(b"--rest")
    file.seek(2)
    await store.put("k", file, media_type="text/plain")
    assert sent == [b"rest"] * 3


async def test_what_stays_away_is_said_and_what_is_missing_is_not_asked_for_again(
    store: RetryingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def get(self: ObjectStore, key: str, *, max_bytes: int) -> Any:
        asked.append(key)
        raise ObjectMissing(key) if key == "missing" else ObjectStoreUnavailable("away")

    monkeypatch.setattr(ObjectStore, "get", get)
    with pytest.raises(ObjectMissing):
        await store.get("missing", max_bytes=1)
    with pytest.raises(ObjectStoreUnavailable):
        await store.get("there", max_bytes=1)
    assert asked == ["missing", "there", "there", "there"]
