"""What reading one photo costs: processor time, in turn, so that a busy machine favours neither model."""

import time

import numpy as np

from laundry_reading.model import Model
from mlops.refit.judge import Cost

ROUNDS = 40


def compare_costs(champion: bytes, challenger: bytes) -> tuple[Cost, Cost]:
    """Measure both files on one thread; the quicker quarter of alternating readings.

    Others who use the processor slow readings, never speed them up: the quick ones are those that tell.
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
