"""The photos of the story: somebody's own, one household of the project's data, or drawn ones."""

import csv
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from laundry.demo.photos import GARMENTS, SUFFIXES, draw_garment
from laundry_servers.errors import LaundryError

DRAWN_EACH = 12
FURTHER_SHARE = 1 / 3
LEAST = 24


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo and what it shows."""

    name: str
    label: str
    body: bytes
    household: str = "1"


def in_folders(folder: Path, labels: Sequence[str]) -> list[Shot]:
    """Read photos whose folder is named for what they show.

    Raises:
        LaundryError: there are none, or too few.
    """
    found = [
        Shot(path.name, path.parent.name, path.read_bytes())
        for path in sorted(folder.glob("*/*"))
        if path.parent.name in labels and path.suffix.lower() in SUFFIXES
    ]
    if len(found) < LEAST:
        raise LaundryError(
            f"{folder} holds {len(found)} photos in folders named for a class ({', '.join(labels)}); "
            f"{LEAST} or more are needed."
        )
    return found


def of_household(data: Path, household: str, labels: Sequence[str]) -> list[Shot]:
    """Read the photos that one household of the project's data sent."""
    table = data / "clothing" / "photos.csv"
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["sender_id"] == household]
    shots = [
        Shot(
            row["path"].rsplit("/", 1)[-1],
            row["label"],
            (data / "clothing" / row["path"]).read_bytes(),
            household,
        )
        for row in rows
        if row["label"] in labels
    ]
    if not shots:
        raise LaundryError(f"There is no household {household} in {table}.")
    return shots


def drawn(each: int = DRAWN_EACH, *, first: int = 0) -> list[Shot]:
    """Draw garments of a kind that the model has never seen: ``each`` of every class."""
    return [
        Shot(f"{label}-{seed}.jpg", label, draw_garment(label, seed=7000 + seed))
        for label in GARMENTS
        for seed in range(first, first + each)
    ]


def split(shots: Sequence[Shot]) -> tuple[list[Shot], list[Shot]]:
    """Split into photos to learn from and further ones, each class alike; the same photos split the same."""
    by_label: dict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        by_label[f"{shot.household}/{shot.label}"].append(shot)
    learnt: list[Shot] = []
    further: list[Shot] = []
    due = 0.0
    for label in sorted(by_label):
        own = by_label[label]
        random.Random(label).shuffle(own)  # noqa: S311 - a draw, no secret
        for shot in own:
            due += FURTHER_SHARE
            if due >= 1:
                due -= 1
                further.append(shot)
            else:
                learnt.append(shot)
    return learnt, further
