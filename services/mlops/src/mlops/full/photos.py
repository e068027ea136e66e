"""The photos of a full run: those that judge, and those of the corrections, decoded for the trainer."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from laundry_learning import dataset
from laundry_learning.curation import Assignment
from laundry_learning.fine_tuning.contract import SOURCE_SIZE
from laundry_learning.holdout import FrozenHoldout, LabelledPhoto, choose_photos, read_photo
from laundry_learning.sandbox.client import TooManyCrashes, Unreadable
from laundry_reading.photo import PhotoError
from laundry_reading.preprocess import decode_for_model
from laundry_service.storage.object_store import ObjectMissing
from mlops.examples import Example
from mlops.jobs.training_set import FeatureExtractor
from mlops.runs import RunError

ASIDE_SHARE = 5
"""One in so many of the new examples' pictures is held out, to judge what the run gains."""

ASIDE_LEAST = 8
"""With fewer held out all of them teach, and the frozen holdout shows the gain."""

Progress = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class HoldoutPhotos:
    """The photos that judge the champion, in the order of its holdout, and those to rehearse."""

    data: Path
    judges: Sequence[dataset.Photo]
    rehearsed: Sequence[dataset.Photo]

    def judging(self) -> Iterator[LabelledPhoto]:
        """Read those that judge, one by one."""
        return (read_photo(self.data, photo) for photo in self.judges)

    def rehearsal(self) -> Iterator[LabelledPhoto]:
        """Read those to rehearse, one by one."""
        return (read_photo(self.data, photo) for photo in self.rehearsed)


def find_holdout_photos(data: Path, held: FrozenHoldout | None, *, most: int = 0) -> HoldoutPhotos:
    """Find the photos that judge the champion in the training's folder.

    Args:
        data: folder of the training photos.
        held: what ships with the champion.
        most: rehearse only so many; 0 for all.

    Raises:
        RunError: they are not all there, or the champion does not tell which they are.
    """
    if held is None or not held.order:
        raise RunError(
            "The champion does not tell which photos judge it, so nothing else can be judged by the same. "
            "`python -m laundry_learning.holdout` writes them beside a shipped model."
        )
    try:
        photos = dataset.read_photos(data)
    except dataset.DataMissingError as error:
        raise RunError(str(error)) from error
    households = dataset.holdout_households()
    found: dict[str, dataset.Photo] = {}
    for photo in photos:
        if photo.household in households and photo.target != dataset.UNKNOWN:
            try:
                found[_digest(data / "clothing" / photo.path)] = photo
            except OSError as error:
                raise RunError(f"A training photo cannot be read: {error}") from error
    missing = [digest for digest in held.order if digest not in found]
    if missing:
        raise RunError(
            f"{len(missing)} of the {len(held.order)} photos that judge the champion are not in {data}: "
            "it was judged on others. Use the folder that it was trained with."
        )
    _, rehearsed = choose_photos(photos)
    return HoldoutPhotos(data, [found[digest] for digest in held.order], rehearsed[: most or None])


def stand_aside(ids: Sequence[str], groups: Sequence[int]) -> list[bool]:
    """Decide which of the new examples judge instead of teaching; those of one picture stay together.

    Args:
        ids: of the new examples.
        groups: number of each one's picture.
    """
    first: dict[int, str] = {}
    for example, group in zip(ids, groups, strict=True):
        first[group] = min(first.get(group, example), example)
    aside = [_drawn(first[group]) for group in groups]
    return aside if sum(aside) >= ASIDE_LEAST else [False] * len(aside)


def _drawn(example: str) -> bool:
    return hashlib.sha256(f"aside-1:{example}".encode()).digest()[0] % ASIDE_SHARE == 0


async def lay_out(
    extractor: FeatureExtractor, examples: Sequence[Example], folder: Path, progress: Progress
) -> dict[str, Assignment]:
    """Decode the photos of examples into files for the trainer; returns those that cannot be used, by id.

    Raises:
        RunError: the photos cannot be reached.
    """
    unusable: dict[str, Assignment] = {}
    for number, example in enumerate(examples):
        path = folder / f"{example.photo_sha256}.npy"
        if not path.is_file():
            try:
                photo = await extractor.fetch(example.photo_key)
                if extractor.reader is None:
                    _decode(photo, example.photo_sha256, path)
                else:
                    _check(photo, example.photo_sha256)
                    _lay(await extractor.reader.pixels(photo, SOURCE_SIZE), path)
            except TooManyCrashes as error:
                raise RunError(f"The photos cannot be looked at: {error}.") from error
            except (ObjectMissing, ValueError, PhotoError, Unreadable):
                unusable[example.id] = Assignment("left out", "photo missing, changed or unreadable")
        await progress((number + 1) / len(examples))
    return unusable


def _decode(photo: bytes, sha256: str, path: Path) -> None:
    _check(photo, sha256)
    _lay(decode_for_model(photo, SOURCE_SIZE), path)


def _check(photo: bytes, sha256: str) -> None:
    if hashlib.sha256(photo).hexdigest() != sha256:
        raise ValueError(sha256)


def _lay(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    partial = path.with_suffix(".part.npy")
    partial.unlink(missing_ok=True)
    # Never opened, always created: an earlier attempt's trainer may write here, and could leave a link.
    with partial.open("xb") as file:
        np.save(file, pixels)
    partial.replace(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
