"""The trainer of a full run, ``python -m laundry_training.tune <folder>``; see ``fine_tuning.contract``."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from laundry_learning import dataset
from laundry_learning.fine_tuning.contract import (
    CACHE_FOLDER,
    CHECKPOINT_FILE,
    OUT_FOLDER,
    PHOTOS_FOLDER,
    REFUSED,
    SOURCE_SIZE,
    WEIGHTS_FILE,
    Line,
    Order,
)
from laundry_learning.weights import BrokenWeights, recover, unpack, write
from laundry_training.finish import FinishError, Judges, finish
from laundry_training.out_of_distribution import Photos

FITTED = 0.85
"""Share of the way when the fitting ends and the export begins."""


def main() -> int:
    """Do what the folder's order says. Returns the exit code."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m laundry_training.tune <folder>")
    threading.Thread(target=_end_with_the_job, daemon=True).start()
    folder = Path(sys.argv[1])
    try:
        _work(folder, Order.load(folder))
    except (dataset.DataMissingError, BrokenWeights, FinishError) as error:
        tell(Line(error=str(error)))
        return REFUSED
    return 0


def tell(line: Line) -> None:
    """Print a line for the job."""
    print(line.model_dump_json(exclude_none=True), flush=True)


def _end_with_the_job() -> None:
    # Not through sys.stdin: its lock, held by this thread, would make the interpreter's own end fail.
    while os.read(0, 4096):
        pass
    os._exit(3)


def _work(folder: Path, order: Order) -> None:
    import torch  # noqa: PLC0415

    from laundry_training.publish import bring_out  # noqa: PLC0415
    from laundry_training.refine import Material, load_network, refine  # noqa: PLC0415

    torch.set_num_threads(order.threads)
    start = (folder / WEIGHTS_FILE).read_bytes()
    net = load_network(unpack(start))
    began = time.monotonic()
    photos = dataset.read_photos(order.data)
    training = _learnt(photos, order)
    tell(Line(note=f"{len(training)} training photos, {len(order.corrections)} corrections"))
    pixels = dataset.load_pixels(order.data, training, SOURCE_SIZE, folder / CACHE_FOLDER)
    targets = np.array([photo.target for photo in training], dtype=np.int64)
    corrected = [np.load(folder / PHOTOS_FOLDER / f"{each.photo}.npy") for each in order.corrections]
    material = Material(
        np.concatenate([pixels, np.stack(corrected)]) if corrected else pixels,
        np.concatenate([targets, np.array([each.target for each in order.corrections], dtype=np.int64)]),
        np.array([each.weight for each in order.corrections]),
    )
    del pixels, corrected
    net = refine(
        net,
        material,
        order.recipe,
        checkpoint=folder / CHECKPOINT_FILE,
        report=lambda done, note: tell(Line(done=done * FITTED, note=note)),
    )
    tell(Line(done=FITTED, note="exporting, quantising and calibrating"))
    facts = {
        **order.facts.model_dump(),
        "training_photos": len(training),
        "training_known": int((targets != dataset.UNKNOWN).sum()),
        "corrections": len(order.corrections),
        "teacher": "the network itself as it was before",
        "teacher_sha256": hashlib.sha256(start).hexdigest(),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "threads": order.threads,
    }
    plain, facts = bring_out(
        net, facts, size=order.input_size, view=order.view_size, work=folder, run="tuned"
    )
    trained = recover(plain.SerializeToString())
    out = folder / OUT_FOLDER
    finish(plain, _judges(folder, order, training, photos), facts, version=order.version, out=out)
    write(out, trained)
    tell(Line(done=1.0))


def _judges(folder: Path, order: Order, training: list[dataset.Photo], photos: list[dataset.Photo]) -> Judges:
    def load(chosen: list[dataset.Photo], size: int) -> npt.NDArray[np.uint8]:
        return dataset.load_pixels(order.data, chosen, size, folder / CACHE_FOLDER)

    households = dataset.holdout_households()
    held = [p for p in photos if p.household in households and p.target != dataset.UNKNOWN]
    other = [p for p in photos if p.household in households and p.target == dataset.UNKNOWN]
    targets = np.array([photo.target for photo in training], dtype=np.int64)
    return Judges(
        load(held, order.input_size),
        np.array([photo.target for photo in held], dtype=np.int64),
        [photo.household for photo in held],
        load(other, order.input_size),
        large=load(held, SOURCE_SIZE),
        training=Photos(
            load(training, order.input_size),
            targets,
            [photo.label for photo in training],
            load(training, SOURCE_SIZE),
        ),
    )


def _learnt(photos: list[dataset.Photo], order: Order) -> list[dataset.Photo]:
    """Choose what may teach: no held-out household, and none of the very photos that judge."""
    households, forbidden = dataset.holdout_households(), set(order.forbidden)
    free = [photo for photo in photos if photo.household not in households]
    if order.photos:
        chosen = np.random.default_rng(1).permutation(len(free))[: order.photos]
        free = [free[index] for index in sorted(chosen)]
    folder = order.data / "clothing"
    return [p for p in free if hashlib.sha256((folder / p.path).read_bytes()).hexdigest() not in forbidden]


if __name__ == "__main__":
    sys.exit(main())
