"""The floor of reading: decode and model on every core, with nothing around them."""

import asyncio
import functools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from laundry.bench.pictures import Pictures
from laundry.bench.stage import NotMeasured, Stage
from laundry.paths import PROJECT

ROUNDS = 12
# What is in hand when a person interrupts is finished first, so it is little.
PHOTOS = 5


@dataclass(frozen=True)
class Bare:
    """What reading costs at least.

    Attributes:
        rate: photos a second of one process for each core, at the same time.
        processor_ms: processor time for one photo, which other work on the machine hardly changes.
    """

    rate: float
    processor_ms: float


async def measure(stage: Stage, pictures: Pictures) -> Bare:
    """Read photos in one process for each core, none waiting for another."""
    model = model_file()
    cores = os.cpu_count() or 1
    rounds = stage.many(ROUNDS, least=2)
    advance = stage.say("bare decode + model", rounds * cores)
    loop = asyncio.get_running_loop()
    photos = [pictures.photo() for _ in range(PHOTOS)]
    # Not forked: a fork would carry this process's threads' locks with it.
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, read, model, photos) for _ in range(2 * cores)))
        seconds = processor = 0.0

        async def lane() -> None:
            nonlocal seconds, processor
            for _ in range(rounds):
                took, used = await loop.run_in_executor(pool, read, model, photos)
                seconds, processor = seconds + took, processor + used
                advance(1)

        await asyncio.gather(*(lane() for _ in range(cores)))
    number = cores * rounds * PHOTOS
    return Bare(cores * number / seconds, 1000 * processor / number)


def read(model: Path, photos: list[bytes]) -> tuple[float, float]:
    """Read photos as a replica does; returns the seconds that it took and used. Runs in its own process."""
    from laundry_reading.photo import inspect_photo  # noqa: PLC0415 - only the child needs it

    reader = _reader(model)
    began, used = time.perf_counter(), time.process_time()
    for photo in photos:
        inspect_photo(photo)
        reader.read(photo)
    return time.perf_counter() - began, time.process_time() - used


@functools.cache
def _reader(model: Path) -> Any:
    from laundry_reading.model import Model  # noqa: PLC0415

    return Model.load(model)


def read_one(model: Path, photo: bytes) -> Any:
    """Read one photo as a replica does. Runs in a process of its own."""
    from laundry_reading.photo import inspect_photo  # noqa: PLC0415 - only the child needs it

    inspect_photo(photo)
    return _reader(model).read(photo)


def model_file() -> Path:
    """Return the shipped model. Raises NotMeasured."""
    found = sorted((PROJECT / "models").glob("*.onnx"))
    if not found:
        raise NotMeasured(f"bare reading: no model in {PROJECT / 'models'}")
    return found[-1]
