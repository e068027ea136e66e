"""Which photos show the same picture."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from laundry_learning import near_duplicates as module
from laundry_learning.near_duplicates import (
    NEAR_BITS,
    NEAR_COSINE,
    groups,
    hashes_of,
    near_duplicates,
    picture_hash,
)

MOST_MEMORY = 100 * 2**20


def test_the_same_picture_is_known_again_and_another_is_not() -> None:
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (3, 8, 8, 3)).repeat(12, axis=1).repeat(12, axis=2)
    pictures = [*blocks, np.clip(blocks[0] * 0.9 + random.normal(0, 3, blocks[0].shape), 0, 255)]
    hashes = hashes_of([picture_hash(each.astype(np.uint8)) for each in pictures])
    features = random.normal(size=(3, 20))
    number = groups(hashes, np.vstack([features, features[:1] + 0.01]))
    assert number[3] == number[0]
    assert len(set(number.tolist())) == 3


def simply(hashes: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Which photos are the same picture, pair by pair."""
    count = len(hashes)
    same = np.zeros((count, count), dtype=bool)
    for one in range(count):
        for other in range(count):
            bits = sum(int(x ^ y).bit_count() for x, y in zip(hashes[one], hashes[other], strict=True))
            lengths = np.linalg.norm(features[one]) * np.linalg.norm(features[other])
            cosine = features[one] @ features[other] / lengths
            # Nearer than that to the limit numbers of 32 bits may say another thing, and either is right.
            assume(abs(cosine - NEAR_COSINE) > 1e-5)
            same[one, other] = cosine >= NEAR_COSINE and bits <= NEAR_BITS
    return same


def simply_grouped(same: np.ndarray) -> np.ndarray:
    number = np.arange(len(same))
    for one, other in zip(*np.nonzero(np.triu(same, 1)), strict=True):
        if number[one] != number[other]:
            number[number == number[other]] = number[one]
    return number


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 14),
    pictures=st.integers(1, 5),
    at_once=st.sampled_from([1, 7, 20, 2**18]),
)
def test_photos_are_told_apart_block_by_block_as_they_are_pair_by_pair(
    seed: int, count: int, pictures: int, at_once: int
) -> None:
    random = np.random.default_rng(seed)
    chosen = random.integers(0, pictures, count)
    # Around both limits: chains of photos of which each is like the next, and the ends are not.
    features = random.normal(size=(pictures, 6))[chosen] + random.normal(0, 0.12, (count, 6))
    hashes = random.integers(0, 256, (pictures, 32), dtype=np.uint8)[chosen]
    flipped = random.random((count, 256)) < 0.06
    hashes = hashes ^ np.packbits(flipped, axis=1)
    expected = simply(hashes, features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_AT_ONCE", at_once)
        assert np.array_equal(near_duplicates(hashes, features, hashes, features), expected)
        assert np.array_equal(groups(hashes, features), simply_grouped(expected))


def test_of_no_photos_none_are_the_same() -> None:
    none, some = np.zeros((0, 32), dtype=np.uint8), np.zeros((3, 32), dtype=np.uint8)
    assert groups(none, np.zeros((0, 1))).shape == (0,)
    assert near_duplicates(none, np.zeros((0, 6)), some, np.ones((3, 6))).shape == (0, 3)
    assert near_duplicates(some, np.ones((3, 6)), none, np.zeros((0, 6))).shape == (3, 0)


@contextmanager
def within(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize("alike", [5000, 2500])
def test_as_many_photos_as_a_refit_takes_need_little_memory_though_they_are_all_alike(alike: int) -> None:
    random = np.random.default_rng(1)
    features = np.vstack([np.ones((alike, 32)), random.normal(size=(5000 - alike, 32))])
    hashes = np.vstack(
        [
            np.zeros((alike, 32), dtype=np.uint8),
            random.integers(0, 256, (5000 - alike, 32), dtype=np.uint8),
        ]
    )
    with within(MOST_MEMORY):
        number = groups(hashes, features)
        shipped = near_duplicates(hashes, features, hashes[:500], features[:500])
    assert len(np.unique(number)) == 5000 - alike + 1
    assert shipped.any(axis=1).sum() == alike
