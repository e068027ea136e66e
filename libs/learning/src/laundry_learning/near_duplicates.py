"""When two photos are the same picture: identical bytes, or near-duplicates.

A difference hash of the decoded picture (Krawetz 2013; 256 bits) and the model's own features must agree:
plain garments on a plain floor share a hash by chance, and two white shirts share features.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from laundry_learning.head import Floats, Ints

EDGE = 16
NEAR_BITS = 26
"""At most so many of the 256 bits differ."""

NEAR_COSINE = 0.985

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
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), dtype=np.bool_)
    ones = np.array([bin(value).count("1") for value in range(256)], dtype=np.uint16)
    alike = _unit(a_features) @ _unit(b_features).T >= NEAR_COSINE
    found = np.zeros_like(alike)
    rows, columns = np.nonzero(alike)
    bits = ones[a[rows] ^ b[columns]].sum(axis=1)
    found[rows, columns] = bits <= NEAR_BITS
    return found


def groups(hashes: Hashes, features: Floats) -> Ints:
    """Number photos so that those of one picture, directly or through others, have the same number."""
    count = len(hashes)
    number = np.arange(count, dtype=np.int64)
    for one, other in zip(
        *np.nonzero(np.triu(near_duplicates(hashes, features, hashes, features), 1)), strict=True
    ):
        if number[one] != number[other]:
            number[number == number[other]] = number[one]
    return number


def _unit(features: Floats) -> Floats:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9))
