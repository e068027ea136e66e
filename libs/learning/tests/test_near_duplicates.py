"""Which photos show the same picture."""

import numpy as np

from laundry_learning.near_duplicates import groups, hashes_of, picture_hash


def test_the_same_picture_is_known_again_and_another_is_not() -> None:
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (3, 8, 8, 3)).repeat(12, axis=1).repeat(12, axis=2)
    pictures = [*blocks, np.clip(blocks[0] * 0.9 + random.normal(0, 3, blocks[0].shape), 0, 255)]
    hashes = hashes_of([picture_hash(each.astype(np.uint8)) for each in pictures])
    features = random.normal(size=(3, 20))
    number = groups(hashes, np.vstack([features, features[:1] + 0.01]))
    assert number[3] == number[0]
    assert len(set(number.tolist())) == 3
