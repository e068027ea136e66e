"""A champion that is of no use here is fetched once, and what follows it is taken."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ai_consumer.service.champion import Champion, Refusal
from laundry_reading.manifest import Manifest
from laundry_reading.signing import TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, model_key
from laundry_service.storage.object_store import ObjectMissing
from laundry_testing.models import KEY, colour_model, manifest_of, ship

OTHER_CLASSES = ("t-shirt", "pants", "hat")


class Kept:
    """An object store in memory that counts what it is asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        self.asked[key] += 1
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]


@pytest.fixture
def store() -> Kept:
    return Kept()


@pytest_asyncio.fixture
async def champion(store: Any, tmp_path: Path) -> Champion:
    ship(tmp_path, "shipped-1")
    champion = Champion(store, TrustedKeys([KEY.public]), tmp_path, poll_s=60)
    await champion._load_shipped()
    return champion


def crown(store: Kept, manifest: Manifest, data: bytes | None = None) -> None:
    if data is not None:
        store.objects[model_key(manifest)] = data
    store.objects[CHAMPION_KEY] = KEY.seal(manifest, "champion")


async def fetched(champion: Champion, store: Kept, manifest: Manifest, *, looks: int = 3) -> int:
    """Return how often a model's file is fetched in some looks."""
    before = store.asked[model_key(manifest)]
    for _ in range(looks):
        await champion._look()
    return store.asked[model_key(manifest)] - before


def serves(champion: Champion) -> tuple[str, Refusal | None]:
    """Return the version in service, and what is refused."""
    assert champion.served is not None
    return champion.served.manifest.version, champion.refused


def useless(kind: str) -> tuple[Manifest, bytes]:
    if kind == "no model":
        data = b"not an onnx file"
        return manifest_of("bad-2", data), data
    if kind == "another version":
        data = colour_model("something-else")
        return manifest_of("bad-2", data), data
    data = colour_model("bad-2", labels=OTHER_CLASSES)
    if kind == "other classes than its manifest":
        return manifest_of("bad-2", data), data
    return manifest_of("bad-2", data, labels=OTHER_CLASSES), data


@pytest.mark.parametrize(
    "kind",
    ["no model", "another version", "other classes than its manifest", "other classes than before"],
)
async def test_a_champion_of_no_use_is_fetched_once_and_another_is_taken(
    champion: Champion, store: Kept, kind: str
) -> None:
    manifest, data = useless(kind)
    crown(store, manifest, data)
    assert await fetched(champion, store, manifest) == 1
    version, refused = serves(champion)
    assert version == "shipped-1"
    assert refused is not None
    assert refused.version == "bad-2"
    # Whatever else is refused in between, it is told of again, and not fetched.
    store.objects[CHAMPION_KEY] = b"{"
    await champion._look()
    assert serves(champion)[1] != refused
    crown(store, manifest)
    assert await fetched(champion, store, manifest) == 0
    assert serves(champion) == ("shipped-1", refused)
    good = manifest_of("good-3", colour_model("good-3"))
    crown(store, good, colour_model("good-3"))
    assert await fetched(champion, store, good) == 1
    assert serves(champion) == ("good-3", None)
    # Back from there somebody may have meant it: it is looked at once more.
    crown(store, manifest)
    assert await fetched(champion, store, manifest) == 1
    assert serves(champion) == ("good-3", refused)


async def test_the_same_file_under_a_right_manifest_is_taken(champion: Champion, store: Kept) -> None:
    data = colour_model("good-2")
    wrong = manifest_of("good-2", data).model_copy(update={"input_size": 64})
    crown(store, wrong, data)
    assert await fetched(champion, store, wrong) == 1
    right = manifest_of("good-2", data)
    crown(store, right)
    assert await fetched(champion, store, right) == 1
    assert serves(champion) == ("good-2", None)


@pytest.mark.parametrize("before", [None, b"half of the fi"])
async def test_a_file_that_is_not_the_right_one_yet_is_looked_for_again(
    champion: Champion, store: Kept, before: bytes | None
) -> None:
    data = colour_model("good-2")
    manifest = manifest_of("good-2", data)
    crown(store, manifest, before)
    assert await fetched(champion, store, manifest) == 3
    assert serves(champion)[1] is not None
    store.objects[model_key(manifest)] = data
    assert await fetched(champion, store, manifest) == 1
    assert serves(champion) == ("good-2", None)
