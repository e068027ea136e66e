"""Photos that ship with a model, as features: small enough to be stored beside it.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from laundry_learning.artifacts import HOLDOUT_FIELD, REHEARSAL_FIELD, Artifact, with_artifact
from laundry_learning.doubts import Doubts
from laundry_learning.features import PhotoReader
from laundry_learning.head import Examples, Floats, Ints, whole
from laundry_learning.near_duplicates import Hashes, hashes_of, picture_hash
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.preprocess import decode_for_model

if TYPE_CHECKING:
    from laundry_learning.dataset import Photo

REHEARSED = 3000
STORY_HOUSEHOLDS = ("45", "125", "186", "224", "240")
"""Held out from training, but no judges: `laundry learn` shows on them what new households gain.

The model before this one erred there most; ``laundry_training.measure_refits`` tells what all held-out
households gain.
"""


class BrokenHoldout(Exception):
    """The file is not what the manifest says, or does not fit the model."""


@dataclass(frozen=True)
class FrozenHoldout:
    """Photos that the model never learnt from.

    Attributes:
        features: [n, d]; ``targets``: class numbers [n]; ``households``: whose they are, numbers [n].
        hashes: picture hashes [n, 32]; no rows where an older file has none.
        order: sha256 of each photo's bytes, as text; none where an older file has none.
        photos: the same, to look them up.
        known, several: chances 0..1 of any class and of several garments, [n]; none where an older file has
            none.
    """

    features: Floats
    targets: Ints
    households: Ints
    hashes: Hashes
    order: tuple[str, ...]
    photos: frozenset[str]
    known: Floats = field(default_factory=lambda: np.zeros(0))
    several: Floats = field(default_factory=lambda: np.zeros(0))

    def doubts(self, several_threshold: float) -> Doubts | None:
        """Return why a model with this threshold leaves them to people; None where an older file lacks it."""
        if not len(self.known):
            return None
        return Doubts(self.known, self.several > several_threshold)


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo with its class number and the household that sent it."""

    photo: bytes
    target: int
    household: str = ""


def read_holdout(data: bytes, entry: Artifact, *, labels: int) -> FrozenHoldout:
    """Read the judges.

    Raises:
        BrokenHoldout: the file is not what the entry says, or does not fit a model of so many labels.
    """
    saved = _read(data, entry, labels=labels)
    count = len(saved["targets"])
    none = np.zeros((0, 32), dtype=np.uint8)
    order = tuple(bytes(each).hex() for each in saved.get("photos", none))
    return FrozenHoldout(
        saved["features"].astype(np.float64),
        saved["targets"].astype(np.int64),
        saved.get("households", np.arange(count)).astype(np.int64),
        saved.get("hashes", none),
        order,
        frozenset(order),
        saved.get("known", np.zeros(0)).astype(np.float64),
        saved.get("several", np.zeros(0)).astype(np.float64),
    )


def read_rehearsal(data: bytes, entry: Artifact, *, labels: int) -> Examples:
    """Read the rehearsal; as ``read_holdout``."""
    saved = _read(data, entry, labels=labels)
    return whole(saved["features"].astype(np.float64), saved["targets"].astype(np.int64))


def _read(data: bytes, entry: Artifact, *, labels: int) -> dict[str, npt.NDArray[Any]]:
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise BrokenHoldout(f"The held-out photos {entry.file} have sha256 {found}, not {entry.sha256}.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            saved = {name: stored[name] for name in stored.files}
        features, targets = saved["features"], saved["targets"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenHoldout(f"The held-out photos {entry.file} cannot be read: {error}") from error
    fits = features.ndim == 2 and all(len(rows) == len(targets) > 0 for rows in saved.values())
    if not fits or not 0 <= targets.min() <= targets.max() < labels:
        raise BrokenHoldout(f"The held-out photos {entry.file} do not fit the model.")
    return saved


def write_beside(
    folder: Path, judges: Iterable[LabelledPhoto], rehearsal: Iterable[LabelledPhoto] = ()
) -> Manifest:
    """Read photos with the model in ``folder``, write the files beside it and name them in its manifest."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    model = Model.load(folder / manifest.file, sha256=manifest.sha256)
    manifest = _store(folder, manifest, HOLDOUT_FIELD, _extract_here(model, judges, judge=True))
    rehearsed = _extract_here(model, rehearsal, judge=False)
    if len(rehearsed["targets"]):
        manifest = _store(folder, manifest, REHEARSAL_FIELD, rehearsed)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return manifest


async def extract(
    reader: PhotoReader, photos: Iterable[LabelledPhoto], *, judge: bool
) -> dict[str, npt.NDArray[Any]]:
    """Extract features in a confined process, as ``write_beside`` does in this one. Raises Unreadable."""
    found = []
    for each in photos:
        seen = await reader.everything(each.photo)
        features = np.frombuffer(seen.photo.features, dtype=np.float16)
        found.append(_Extracted(each, features, seen.photo.picture_hash, seen.known, seen.several))
    return _gathered(found, judge=judge)


@dataclass(frozen=True)
class _Extracted:
    kept: LabelledPhoto
    features: npt.NDArray[Any]
    hash: bytes
    known: float
    several: float


def _extract_here(
    model: Model, photos: Iterable[LabelledPhoto], *, judge: bool
) -> dict[str, npt.NDArray[Any]]:
    found = []
    for each in photos:
        pixels = decode_for_model(each.photo, model.input_size)
        seen = model.predict_all(pixels[np.newaxis])
        chances = float(seen.known[0]), float(seen.several[0])
        found.append(_Extracted(each, seen.features[0], picture_hash(pixels), *chances))
    return _gathered(found, judge=judge)


def _gathered(extracted: Sequence[_Extracted], *, judge: bool) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {
        "features": np.array([each.features for each in extracted], dtype=np.float16),
        "targets": np.array([each.kept.target for each in extracted], dtype=np.int16),
    }
    if judge:
        names = [each.kept.household for each in extracted]
        known = sorted(set(names))
        digests = [hashlib.sha256(each.kept.photo).digest() for each in extracted]
        found["households"] = np.array([known.index(name) for name in names], dtype=np.int16)
        found["hashes"] = hashes_of([each.hash for each in extracted])
        found["photos"] = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)
        found["known"] = np.array([each.known for each in extracted], dtype=np.float32)
        found["several"] = np.array([each.several for each in extracted], dtype=np.float32)
    return found


def pack(
    manifest: Manifest, field: Literal["held_out", "rehearsal"], arrays: dict[str, npt.NDArray[Any]]
) -> tuple[Artifact, bytes]:
    """Write what was seen as the file that lies beside a model, with what its manifest says of it."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    data = out.getvalue()
    name = f"{Path(manifest.file).stem}.{field.replace('_', '-')}.npz"
    return Artifact(version=manifest.version, file=name, sha256=hashlib.sha256(data).hexdigest()), data


def _store(
    folder: Path,
    manifest: Manifest,
    field: Literal["held_out", "rehearsal"],
    arrays: dict[str, npt.NDArray[Any]],
) -> Manifest:
    entry, data = pack(manifest, field, arrays)
    (folder / entry.file).write_bytes(data)
    return with_artifact(manifest, field, entry)


def choose_photos(photos: Sequence["Photo"]) -> tuple[list["Photo"], list["Photo"]]:
    """Choose judges and rehearsal from the training's photos; neither is of ``STORY_HOUSEHOLDS``."""
    from laundry_learning import dataset  # noqa: PLC0415 - needed here only

    known = [each for each in photos if each.target != dataset.UNKNOWN]
    households = dataset.holdout_households()
    held = [p for p in known if p.household in households and p.household not in STORY_HOUSEHOLDS]
    learnt = [p for p in known if p.household not in households]
    order = np.random.default_rng(1).permutation(len(learnt))[:REHEARSED]
    return held, [learnt[index] for index in order]


def read_photo(data: Path, photo: "Photo") -> LabelledPhoto:
    """Read a photo of the training's folder."""
    return LabelledPhoto((data / "clothing" / photo.path).read_bytes(), photo.target, photo.household)


def photos_from(data: Path) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    """Read judges and rehearsal.

    Raises:
        laundry_learning.dataset.DataMissingError: they are not there.
    """
    from laundry_learning import dataset  # noqa: PLC0415 - needed here only

    held, rehearsal = choose_photos(dataset.read_photos(data))
    return [read_photo(data, photo) for photo in held], [read_photo(data, photo) for photo in rehearsal]


def main() -> int:
    """Make both files from the training's photos. Returns the exit code."""
    from laundry_learning.dataset import DataMissingError  # noqa: PLC0415 - needed here only

    parser = argparse.ArgumentParser(prog="python -m laundry_learning.holdout", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with clothing/")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the model")
    arguments = parser.parse_args()
    try:
        judges, rehearsal = photos_from(arguments.data)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    write_beside(arguments.out, judges, rehearsal)
    print(f"{len(judges)} photos that judge and {len(rehearsal)} to rehearse are written beside the model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
