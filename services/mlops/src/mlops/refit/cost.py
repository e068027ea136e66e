"""What reading one photo costs, both models measured in turn so that a busy machine slows both."""

import time

import numpy as np

from laundry_reading.model import Model
from mlops.refit.judge import Cost

ROUNDS = 25


def compare_costs(champion: bytes, challenger: bytes) -> tuple[Cost, Cost]:
    """Measure both files on one thread; the median of alternating readings."""
    models = [Model.load(champion), Model.load(challenger)]
    images = [np.full((1, m.input_size, m.input_size, 3), 128, dtype=np.uint8) for m in models]
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for number, (model, image) in enumerate(zip(models, images, strict=True)):
            began = time.perf_counter()
            model.predict(image)
            times[number].append(time.perf_counter() - began)
    return (
        Cost(len(champion), float(np.median(times[0])) * 1000),
        Cost(len(challenger), float(np.median(times[1])) * 1000),
    )
