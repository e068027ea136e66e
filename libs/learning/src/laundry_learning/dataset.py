"""The photos, who sent them, and which households training must never see."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from laundry_reading.preprocess import PREPROCESS_VERSION, decode_for_model

LABELS = (
    "dress",
    "hat",
    "longsleeve",
    "outwear",
    "pants",
    "shirt",
    "shoes",
    "shorts",
    "skirt",
    "t-shirt",
)
"""What the model can say, in the order of its outputs."""

HOLDOUT_FILE = Path(__file__).with_name("holdout_households.txt")

UNKNOWN = -1
"""Class number of a photo that shows none of `LABELS`."""


@dataclass(frozen=True)
class Photo:
    """One photo: its path in the data set, the household that sent it, its class number or `UNKNOWN`."""

    path: str
    household: str
    label: str
    target: int


class DataMissingError(Exception):
    """The folder of photos is not there or not whole."""


def read_photos(data: Path) -> list[Photo]:
    """Every photo that `photos.csv` lists, in its order.

    Raises:
        DataMissingError: no `clothing/photos.csv` below `data`.
    """
    table = data / "clothing" / "photos.csv"
    if not table.is_file():
        raise DataMissingError(
            f"No training photos: {table} does not exist. "
            "Point --data at the folder that holds clothing/photos.csv (default: ../shared/data)."
        )
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Photo(
            row["path"],
            row["sender_id"],
            row["label"],
            LABELS.index(row["label"]) if row["label"] in LABELS else UNKNOWN,
        )
        for row in rows
    ]


def holdout_households(path: Path = HOLDOUT_FILE) -> frozenset[str]:
    """The frozen households that judge the model: one sender id a line, `#` starts a comment."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line)


def holdout_sha256(path: Path = HOLDOUT_FILE) -> str:
    """Which set of households judged a model: two models are compared on the same set only."""
    return hashlib.sha256("\n".join(sorted(holdout_households(path))).encode()).hexdigest()


def choose_holdout(photos: Iterable[Photo], *, at_least: int = 600, largest: int = 160) -> list[str]:
    """Draw households in a fixed pseudo-random order until they hold `at_least` photos of the known classes.

    Households of more than `largest` photos stay in training: one of them would decide the figure alone.
    """
    sizes = Counter(photo.household for photo in photos if photo.target != UNKNOWN)
    totals = Counter(photo.household for photo in photos)
    order = sorted(sizes, key=lambda household: hashlib.sha256(f"holdout-1:{household}".encode()).hexdigest())
    chosen: list[str] = []
    held = 0
    for household in order:
        if held >= at_least:
            break
        if totals[household] <= largest:
            chosen.append(household)
            held += sizes[household]
    return sorted(chosen, key=lambda household: (len(household), household))


def load_pixels(data: Path, photos: Sequence[Photo], size: int, cache: Path) -> npt.NDArray[np.uint8]:
    """Every photo as the serving code decodes it, [n, size, size, 3]; decoded once, then kept in `cache`."""
    names = hashlib.sha256("\n".join(photo.path for photo in photos).encode()).hexdigest()[:12]
    kept = cache / f"pixels-{PREPROCESS_VERSION}-{size}-{names}.npy"
    if kept.is_file():
        return np.asarray(np.load(kept), dtype=np.uint8)

    def decode(photo: Photo) -> npt.NDArray[np.uint8]:
        return decode_for_model((data / "clothing" / photo.path).read_bytes(), size)

    with ThreadPoolExecutor(2) as pool:
        pixels = np.stack(list(pool.map(decode, photos)))
    cache.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part.npy")
    np.save(partial, pixels)
    partial.replace(kept)
    return pixels
