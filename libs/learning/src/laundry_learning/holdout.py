"""Photos that ship with a model as its last layer sees them: small enough to lie beside it.

``held_out`` are those of households that the training never saw: every refit is judged by them and none
learns from them. ``rehearsal`` are some of the training's own: a refit learns them beside the corrections,
so that it does not forget. The features before the last layer stay the same through every refit, so both
serve all its descendants. ``python -m laundry_learning.holdout`` writes both files again, as every training
does.
"""

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from laundry_learning.artifacts import MANIFEST_FIELD, REHEARSAL_FIELD, Entry, with_entry
from laundry_learning.head import Examples, Floats, Ints, whole
from laundry_learning.near_duplicates import Hashes, hashes_of, picture_hash
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.preprocess import decode_for_model

if TYPE_CHECKING:
    from laundry_learning.dataset import Photo
    from laundry_learning.sandbox.client import Looks

REHEARSED = 3000
STORY_HOUSEHOLDS = ("45", "125", "186", "224", "240")
"""Held out from training, but no judges: `laundry learn` shows on them what new households gain.

The model before this one erred there most; ``laundry_training.measure_refits`` tells what all held-out
households gain.
"""


class BrokenHeldOut(Exception):
    """The file is not what the manifest says, or does not fit the model."""


@dataclass(frozen=True)
class HeldOut:
    """Photos that the model never learnt from.

    Attributes:
        features: [n, d]; ``targets``: class numbers [n]; ``households``: whose they are, numbers [n].
        hashes: picture hashes [n, 32]; no rows where an older file has none.
        order: sha256 of each photo's bytes, as text; none where an older file has none.
        photos: the same, to look them up.
    """

    features: Floats
    targets: Ints
    households: Ints
    hashes: Hashes
    order: tuple[str, ...]
    photos: frozenset[str]


@dataclass(frozen=True)
class Kept:
    """One photo to keep: its bytes, its class number, who sent it."""

    photo: bytes
    target: int
    household: str = ""


def read(data: bytes, entry: Entry, *, labels: int) -> HeldOut:
    """Read the judges.

    Raises:
        BrokenHeldOut: the file is not what the entry says, or does not fit a model of so many labels.
    """
    saved = _read(data, entry, labels=labels)
    count = len(saved["targets"])
    none = np.zeros((0, 32), dtype=np.uint8)
    order = tuple(bytes(each).hex() for each in saved.get("photos", none))
    return HeldOut(
        saved["features"].astype(np.float64),
        saved["targets"].astype(np.int64),
        saved.get("households", np.arange(count)).astype(np.int64),
        saved.get("hashes", none),
        order,
        frozenset(order),
    )


def read_rehearsal(data: bytes, entry: Entry, *, labels: int) -> Examples:
    """Read the rehearsal; as ``read``."""
    saved = _read(data, entry, labels=labels)
    return whole(saved["features"].astype(np.float64), saved["targets"].astype(np.int64))


def _read(data: bytes, entry: Entry, *, labels: int) -> dict[str, npt.NDArray[Any]]:
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise BrokenHeldOut(f"The held-out photos {entry.file} have sha256 {found}, not {entry.sha256}.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            saved = {name: stored[name] for name in stored.files}
        features, targets = saved["features"], saved["targets"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenHeldOut(f"The held-out photos {entry.file} cannot be read: {error}") from error
    fits = features.ndim == 2 and all(len(rows) == len(targets) > 0 for rows in saved.values())
    if not fits or not 0 <= targets.min() <= targets.max() < labels:
        raise BrokenHeldOut(f"The held-out photos {entry.file} do not fit the model.")
    return saved


def write(folder: Path, judges: Iterable[Kept], rehearsal: Iterable[Kept] = ()) -> Manifest:
    """Read photos with the model in ``folder``, write the files beside it and name them in its manifest."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    model = Model.load(folder / manifest.file, sha256=manifest.sha256)
    manifest = _store(folder, manifest, MANIFEST_FIELD, _look(model, judges, judge=True))
    rehearsed = _look(model, rehearsal, judge=False)
    if len(rehearsed["targets"]):
        manifest = _store(folder, manifest, REHEARSAL_FIELD, rehearsed)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return manifest


async def looked_at(looks: "Looks", photos: Iterable[Kept], *, judge: bool) -> dict[str, npt.NDArray[Any]]:
    """Have photos looked at by a shut-in process, as ``write`` does in this one. Raises Unseen."""
    found = []
    for each in photos:
        seen = await looks.features(each.photo)
        found.append(_Looked(each, np.frombuffer(seen.features, dtype=np.float16), seen.picture_hash))
    return _gathered(found, judge=judge)


@dataclass(frozen=True)
class _Looked:
    kept: Kept
    features: npt.NDArray[Any]
    hash: bytes


def _look(model: Model, photos: Iterable[Kept], *, judge: bool) -> dict[str, npt.NDArray[Any]]:
    found = []
    for each in photos:
        pixels = decode_for_model(each.photo, model.input_size)
        found.append(_Looked(each, model.predict(pixels[np.newaxis])[1][0], picture_hash(pixels)))
    return _gathered(found, judge=judge)


def _gathered(looked: Sequence[_Looked], *, judge: bool) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {
        "features": np.array([each.features for each in looked], dtype=np.float16),
        "targets": np.array([each.kept.target for each in looked], dtype=np.int16),
    }
    if judge:
        names = [each.kept.household for each in looked]
        known = sorted(set(names))
        digests = [hashlib.sha256(each.kept.photo).digest() for each in looked]
        found["households"] = np.array([known.index(name) for name in names], dtype=np.int16)
        found["hashes"] = hashes_of([each.hash for each in looked])
        found["photos"] = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
    return found


def packed(
    manifest: Manifest, field: Literal["held_out", "rehearsal"], arrays: dict[str, npt.NDArray[Any]]
) -> tuple[Entry, bytes]:
    """Write what was seen as the file that lies beside a model, with what its manifest says of it."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    data = out.getvalue()
    name = f"{Path(manifest.file).stem}.{field.replace('_', '-')}.npz"
    return Entry(version=manifest.version, file=name, sha256=hashlib.sha256(data).hexdigest()), data


def _store(
    folder: Path,
    manifest: Manifest,
    field: Literal["held_out", "rehearsal"],
    arrays: dict[str, npt.NDArray[Any]],
) -> Manifest:
    entry, data = packed(manifest, field, arrays)
    (folder / entry.file).write_bytes(data)
    return with_entry(manifest, field, entry)


def choose(photos: Sequence["Photo"]) -> tuple[list["Photo"], list["Photo"]]:
    """Choose judges and rehearsal from the training's photos; neither is of ``STORY_HOUSEHOLDS``."""
    from laundry_learning import dataset  # noqa: PLC0415 - needed here only

    known = [each for each in photos if each.target != dataset.UNKNOWN]
    households = dataset.read_holdout()
    held = [p for p in known if p.household in households and p.household not in STORY_HOUSEHOLDS]
    learnt = [p for p in known if p.household not in households]
    order = np.random.default_rng(1).permutation(len(learnt))[:REHEARSED]
    return held, [learnt[index] for index in order]


def keep(data: Path, photo: "Photo") -> Kept:
    """Read a photo of the training's folder."""
    return Kept((data / "clothing" / photo.path).read_bytes(), photo.target, photo.household)


def from_data(data: Path) -> tuple[list[Kept], list[Kept]]:
    """Read judges and rehearsal.

    Raises:
        laundry_learning.dataset.DataMissingError: they are not there.
    """
    from laundry_learning import dataset  # noqa: PLC0415 - needed here only

    held, rehearsal = choose(dataset.read_photos(data))
    return [keep(data, photo) for photo in held], [keep(data, photo) for photo in rehearsal]


def main() -> int:
    """Make both files from the training's photos. Returns the exit code."""
    from laundry_learning.dataset import DataMissingError  # noqa: PLC0415 - needed here only

    parser = argparse.ArgumentParser(prog="python -m laundry_learning.holdout", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with clothing/")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the model")
    arguments = parser.parse_args()
    try:
        judges, rehearsal = from_data(arguments.data)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    write(arguments.out, judges, rehearsal)
    print(f"{len(judges)} photos that judge and {len(rehearsal)} to rehearse are written beside the model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
