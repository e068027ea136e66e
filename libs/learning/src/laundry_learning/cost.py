"""Compares what models cost: file size and time per photo.

Processor time is taken in turn, so that a busy machine favours neither model.
"""

import time
from dataclasses import dataclass

import numpy as np

from laundry_learning.judging import Check
from laundry_reading.model import Model

ROUNDS = 40
SLOWER = 1.5
MOST_BYTES = 10_000_000


@dataclass(frozen=True)
class Cost:
    """What a model costs: its file's bytes, and the processor time of one photo in milliseconds."""

    file_bytes: int
    milliseconds: float


def compare_costs(champion: bytes, challenger: bytes) -> tuple[Cost, Cost]:
    """Measure both files on one thread; the quicker quarter of alternating readings.

    Other load only slows readings down, so the fastest ones are the meaningful ones.
    """
    models = [Model.load(champion), Model.load(challenger)]
    images = [np.full((1, m.input_size, m.input_size, 3), 128, dtype=np.uint8) for m in models]
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for number, (model, image) in enumerate(zip(models, images, strict=True)):
            began = time.thread_time()
            model.predict(image)
            times[number].append(time.thread_time() - began)
    return (
        Cost(len(champion), float(np.quantile(times[0], 0.25)) * 1000),
        Cost(len(challenger), float(np.quantile(times[1], 0.25)) * 1000),
    )


def check_cost(champion: Cost, challenger: Cost) -> Check:
    """Check size and time of a challenger."""
    return Check(
        name="cost",
        text=f"{challenger.file_bytes / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:.0f}), "
        f"{challenger.milliseconds / champion.milliseconds:.2f} × the champion's time "
        f"({challenger.milliseconds:.1f} ms a photo here; at most {SLOWER:g} ×)",
        passed=bool(
            challenger.file_bytes <= MOST_BYTES and challenger.milliseconds <= SLOWER * champion.milliseconds
        ),
        figures={
            "file_bytes": challenger.file_bytes,
            "milliseconds": round(challenger.milliseconds, 2),
        },
    )
