"""From stored examples to what the last layer sees of their photos."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from laundry_reading.model import Model, ModelError
from laundry_reading.photo import MAX_BYTES, PhotoError
from laundry_reading.preprocess import decode_for_model
from laundry_service.objectstore import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops.examples import judges, single_label
from mlops.refit.head import Floats, Ints
from mlops.repository import Row
from mlops.runs import RunError

AT_ONCE = 4
TRIES = 4
KEPT_IMAGES = 16

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Lesson:
    """What a run learns from and is judged by.

    Attributes:
        judging: which of the rows judge; the others are learnt from.
        images: a few decoded photos, to compare an exported file with what was fitted.
        left_out: examples that could not be used, by the reason.
    """

    features: Floats
    targets: Ints
    judging: npt.NDArray[np.bool_]
    images: list[Pixels]
    image_features: Floats
    left_out: Counter[str]
    digest: str


async def take_lesson(
    store: ObjectStore,
    model: Model,
    examples: Sequence[Row],
    progress: Callable[[float], Awaitable[None]],
) -> Lesson:
    """Fetch and read the photos of examples, a few at a time.

    Raises:
        RunError: the photos cannot be reached.
    """
    features: list[Floats] = []
    targets: list[int] = []
    judging: list[bool] = []
    images: list[Pixels] = []
    left_out: Counter[str] = Counter()
    used: list[str] = []
    # One thread: it uses one core, and each further one would keep a heap of its own.
    worker = ThreadPoolExecutor(1, thread_name_prefix="see")
    for start in range(0, len(examples), AT_ONCE):
        some = examples[start : start + AT_ONCE]
        numbers = [single_label(example["labels"], model.labels) for example in some]
        results = await asyncio.gather(
            *(
                _see(store, model, example, worker)
                if number is not None
                else _nothing("several or unknown kinds")
                for example, number in zip(some, numbers, strict=True)
            )
        )
        for example, number, result in zip(some, numbers, results, strict=True):
            if isinstance(result, str) or number is None:
                left_out[str(result)] += 1
                continue
            image, seen = result
            features.append(seen)
            targets.append(number)
            judging.append(judges(example["photo_sha256"]))
            used.append(f"{example['id']}:{number}")
            if len(images) < KEPT_IMAGES:
                images.append(image)
        await progress(min(1.0, (start + AT_ONCE) / len(examples)))
    worker.shutdown()
    table = np.stack(features) if features else np.zeros((0, 1))
    return Lesson(
        features=table,
        targets=np.array(targets, dtype=np.int64),
        judging=np.array(judging, dtype=np.bool_),
        images=images,
        image_features=table[: len(images)],
        left_out=left_out,
        digest=hashlib.sha256("\n".join(used).encode()).hexdigest(),
    )


async def _nothing(reason: str) -> str:
    return reason


async def _see(
    store: ObjectStore, model: Model, example: Row, worker: ThreadPoolExecutor
) -> tuple[Pixels, Floats] | str:
    try:
        photo = await _fetch(store, example["photo_key"])
    except (ObjectMissing, ValueError):
        return "photo missing"
    if hashlib.sha256(photo).hexdigest() != example["photo_sha256"]:
        return "photo changed"
    try:
        return await asyncio.get_running_loop().run_in_executor(worker, _features, model, photo)
    except (PhotoError, ModelError):
        return "photo unreadable"


def _features(model: Model, photo: bytes) -> tuple[Pixels, Floats]:
    image = decode_for_model(photo, model.input_size)
    _, seen = model.predict(image[np.newaxis])
    return image, seen[0].astype(np.float64)


async def _fetch(store: ObjectStore, key: str) -> bytes:
    for attempt in range(TRIES):
        try:
            return await store.get(key, max_bytes=MAX_BYTES)
        except ObjectStoreUnavailable as error:
            if attempt + 1 == TRIES:
                raise RunError(
                    "The photos cannot be reached. Start the run again when the store is back."
                ) from error
            await asyncio.sleep(2.0**attempt)
    raise AssertionError
