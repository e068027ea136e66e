"""The photos that judged the shipped model, as its last layer sees them: small enough to ship with it.

A refit that learns from a few branches must not forget what the model knew of everybody else. The features
before the last layer stay the same through every refit, so these judge each of its descendants.
``python -m mlops.refit.held_out`` makes the file anew; every training makes it too.
"""

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.preprocess import decode_for_model
from mlops.heldout import MANIFEST_FIELD, Entry
from mlops.refit.head import Floats, Ints


class BrokenHeldOut(Exception):
    """The file is not what the manifest says, or does not fit the model."""


@dataclass(frozen=True)
class HeldOut:
    """Features [n, d] and class numbers [n] of photos that the shipped model never learnt from."""

    features: Floats
    targets: Ints


def read(data: bytes, entry: Entry, *, labels: int) -> HeldOut:
    """Read the file.

    Raises:
        BrokenHeldOut: it is not what the entry says, or does not fit a model of so many labels.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise BrokenHeldOut(f"The held-out photos {entry.file} have sha256 {found}, not {entry.sha256}.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            features, targets = saved["features"].astype(np.float64), saved["targets"].astype(np.int64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenHeldOut(f"The held-out photos {entry.file} cannot be read: {error}") from error
    fits = features.ndim == 2 and len(features) == len(targets) > 0
    if not fits or not 0 <= targets.min() <= targets.max() < labels:
        raise BrokenHeldOut(f"The held-out photos {entry.file} do not fit the model.")
    return HeldOut(features, targets)


def write(folder: Path, photos: Iterable[tuple[bytes, int]]) -> Manifest:
    """Read photos with the model in ``folder``, write the file beside it and name it in the manifest."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    model = Model.load(folder / manifest.file, sha256=manifest.sha256)
    rows, targets = [], []
    for photo, target in photos:
        rows.append(model.predict(decode_for_model(photo, model.input_size)[np.newaxis])[1][0])
        targets.append(target)
    out = io.BytesIO()
    np.savez_compressed(
        out, features=np.array(rows, dtype=np.float16), targets=np.array(targets, dtype=np.int16)
    )
    path = folder / f"{Path(manifest.file).stem}.held-out.npz"
    path.write_bytes(out.getvalue())
    entry = Entry(version=manifest.version, file=path.name, sha256=hashlib.sha256(out.getvalue()).hexdigest())
    named = Manifest.model_validate({**manifest.model_dump(), MANIFEST_FIELD: entry.model_dump()})
    (folder / "manifest.json").write_text(named.to_json(), encoding="utf-8")
    return named


def main() -> int:
    """Make the file from the photos of the held-out households. Returns the exit code."""
    from mlops.training import dataset  # noqa: PLC0415 - needed here only

    parser = argparse.ArgumentParser(prog="python -m mlops.refit.held_out", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with clothing/")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the model")
    arguments = parser.parse_args()
    try:
        photos = dataset.read_photos(arguments.data)
    except dataset.DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    households = dataset.read_holdout()
    held = [each for each in photos if each.household in households and each.target != dataset.UNKNOWN]
    folder = arguments.data / "clothing"
    write(arguments.out, (((folder / each.path).read_bytes(), each.target) for each in held))
    print(f"{len(held)} held-out photos of {len(households)} households written beside the model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
