"""The trainer's order and its output: a folder and lines of JSON. Knows no server and no torch.

The folder holds ``order.json``, ``weights.npz`` and ``photos/<sha256>.npy`` (corrections, decoded). The
trainer leaves a checkpoint, and at the end a model with its manifest and weights in ``out/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from laundry_learning.fine_tuning.recipe import Recipe

ORDER_FILE = "order.json"
WEIGHTS_FILE = "weights.npz"
PHOTOS_FOLDER = "photos"
OUT_FOLDER = "out"
CHECKPOINT_FILE = "checkpoint.pt"
CACHE_FOLDER = "cache"
SOURCE_SIZE = 160
"""Edge of the decoded photos that are learnt from, pixels; views of them are taken."""

REFUSED = 2
"""Exit code of a trainer that told in an ``error`` line why it cannot do what it was told."""


class Correction(BaseModel):
    """A photo that people labelled: its sha256, its class number, and its weight 0..1."""

    model_config = ConfigDict(frozen=True)

    photo: str = Field(pattern=r"^[0-9a-f]{64}$")
    target: int = Field(ge=0)
    weight: float = Field(gt=0, le=1)


class Facts(BaseModel):
    """What the model's lineage is to tell of the run: what it started from, and which examples it had."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["full"] = "full"
    run_id: str
    base_version: str
    base_sha256: str
    started_from: str
    holdout_sha256: str
    epochs: int
    rate: float
    most_photos: int
    examples_learnt: int
    examples_judging: int
    examples_left_out: dict[str, int]
    examples_sha256: str


class Order(BaseModel):
    """What to do.

    Attributes:
        data: folder of the training photos; ``photos``: use only so many of them, 0 for all.
        forbidden: sha256 of photos that judge and must never teach.
        input_size, view_size: edge of what is read, and of its middle that the network sees, pixels.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    data: Path
    input_size: int
    view_size: int
    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    threads: int = Field(ge=1)
    photos: int = Field(ge=0)
    corrections: list[Correction]
    forbidden: list[str]
    facts: Facts

    @property
    def recipe(self) -> Recipe:
        """How the fine-tuning goes."""
        return Recipe(epochs=self.epochs, rate=self.rate, view=self.view_size)

    def save(self, folder: Path) -> None:
        """Write it into the folder."""
        (folder / ORDER_FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Order:
        """Read it from the folder.

        Raises:
            OSError, pydantic.ValidationError: there is none, or it is no order.
        """
        return cls.model_validate_json((folder / ORDER_FILE).read_bytes())

    def same_work(self, other: Order) -> bool:
        """Whether a checkpoint made for the other order serves this one: only the name may differ."""
        return self.model_copy(update={"version": other.version}) == other


class Line(BaseModel):
    """One line that the trainer prints: how far it is (0..1), a note, or why it gives up."""

    done: float | None = Field(default=None, ge=0, le=1)
    note: str | None = None
    error: str | None = None

    @classmethod
    def read(cls, text: str) -> Line | None:
        """Read a line, None if it is some other output."""
        try:
            return cls.model_validate(json.loads(text))
        except ValueError:
            return None
