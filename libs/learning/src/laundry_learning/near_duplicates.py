"""When two photos are the same picture: identical bytes, or near-duplicates.

A difference hash of the decoded picture (Krawetz 2013; 256 bits) and the model's own features must agree:
plain garments on a plain floor share a hash by chance, and two white shirts share features.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from laundry_learning.head import Floats, Ints

EDGE = 16
NEAR_BITS = 26
"""At most so many of the 256 bits differ."""

NEAR_COSINE = 0.985

PAIRS_AT_ONCE = 2**18
"""So many pairs are compared at a time: of photos that are all alike every pair takes some hundred bytes."""

Hashes = npt.NDArray[np.uint8]


def picture_hash(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Hash decoded pixels [s, s, 3] into 32 bytes that change little when the picture does."""
    grey = Image.fromarray(pixels).convert("L").resize((EDGE + 1, EDGE), Image.Resampling.BILINEAR)
    values = np.asarray(grey, dtype=np.int16)
    return np.packbits(values[:, 1:] > values[:, :-1]).tobytes()


def hashes_of(hashes: list[bytes]) -> Hashes:
    """Stack hashes [n, 32]."""
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), EDGE * EDGE // 8)


def near_duplicates(a: Hashes, a_features: Floats, b: Hashes, b_features: Floats) -> npt.NDArray[np.bool_]:
    """Say which of a [n] and b [m] are the same picture: [n, m]."""
    found = np.zeros((len(a), len(b)), dtype=np.bool_)
    for begin, some in _blocks(a, a_features, b, b_features):
        found[begin : begin + len(some)] = some
    return found


def groups(hashes: Hashes, features: Floats) -> Ints:
    """Number photos so that those of one picture, directly or through others, have the same number."""
    number = np.arange(len(hashes), dtype=np.int64)
    for begin, some in _blocks(hashes, features, hashes, features):
        for one, same in enumerate(some, start=begin):
            others = number[one + 1 :][same[one + 1 :]]
            for other in np.unique(others[others != number[one]]):
                number[number == other] = number[one]
    return number


def _blocks(
    a: Hashes, a_features: Floats, b: Hashes, b_features: Floats
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Yield which rows of a are the same picture as which of b: the first row's number, and [k, m]."""
    if not len(a) or not len(b):
        return
    mine, others = _unit(a_features), _unit(b_features)
    a_words, b_words = _words(a), _words(b)
    step = max(1, PAIRS_AT_ONCE // len(b))
    for begin in range(0, len(a), step):
        same = mine[begin : begin + step] @ others.T >= NEAR_COSINE
        rows, columns = np.nonzero(same)
        differ = a_words[begin + rows]
        differ ^= b_words[columns]
        same[rows, columns] = np.bitwise_count(differ).sum(axis=1, dtype=np.uint16) <= NEAR_BITS
        yield begin, same


def _words(hashes: Hashes) -> npt.NDArray[np.uint64]:
    """Return hashes as [n, 4] numbers of 64 bits."""
    return np.ascontiguousarray(hashes).view(np.uint64)


def _unit(features: Floats) -> npt.NDArray[np.float32]:
    small = features.astype(np.float32)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-9)
    return small
