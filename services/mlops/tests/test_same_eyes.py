"""A photo is the same to all who look at it: training, a refit, a full run, and the reader that serves.

A model is only as good as its measurements if it later sees what it was measured on. All call one function
today; this holds them to it, array for array, whatever is rearranged around it.
"""

import hashlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from laundry_learning import dataset
from laundry_learning.fine_tuning.contract import SOURCE_SIZE
from laundry_learning.holdout import LabelledPhoto, _extract_here
from laundry_learning.near_duplicates import picture_hash
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, Seen
from laundry_reading.preprocess import decode_for_model
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from mlops.full import photos as full_run
from mlops.jobs.training_set import FeatureExtractor

MODELS = Path(__file__).parents[3] / "models"
ORIENTATION = 0x0112
ENCODINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "baseline JPEG": ("JPEG", "RGB", {"quality": 90}),
    "progressive JPEG": ("JPEG", "RGB", {"quality": 90, "progressive": True}),
    "CMYK JPEG": ("JPEG", "CMYK", {"quality": 90}),
    "gray JPEG": ("JPEG", "L", {"quality": 90}),
    "PNG": ("PNG", "RGB", {"compress_level": 0}),
    "PNG with alpha": ("PNG", "RGBA", {"compress_level": 0}),
    "PNG with a palette": ("PNG", "P", {"compress_level": 0}),
    "gray PNG": ("PNG", "L", {"compress_level": 0}),
    "WebP": ("WEBP", "RGB", {"quality": 80, "method": 0}),
}

# Decoding takes its shortcuts from four times the asked edge on: the reader's, and that of a full run.
SIZES = st.one_of(
    st.tuples(st.integers(432, 450), st.integers(432, 450)),
    st.tuples(st.integers(640, 650), st.integers(640, 650)),
    st.tuples(st.integers(1, 12), st.integers(1, 240)),
    st.tuples(st.integers(1, 240), st.integers(1, 240)),
)


class Watched(Model):
    """A model that remembers what it was shown and what it said."""

    def __init__(self, session: onnxruntime.InferenceSession, metadata: dict[str, str]) -> None:
        super().__init__(session, metadata)
        self.shown: list[tuple[np.ndarray, Seen]] = []

    def predict_all(self, images: np.ndarray) -> Seen:
        said = super().predict_all(images)
        self.shown.append((images.copy(), said))
        return said


@pytest.fixture(scope="module")
def model() -> Watched:
    manifest = Manifest.from_json((MODELS / "manifest.json").read_bytes())
    model = Watched.load(MODELS / manifest.file, sha256=manifest.sha256)
    assert isinstance(model, Watched)
    return model


def make_photo(encoding: str, width: int, height: int, orientation: int, seed: int) -> bytes:
    """A blotchy picture with grain, so that no two ways of shrinking or turning it agree by chance."""
    kind, mode, options = ENCODINGS[encoding]
    random = np.random.default_rng(seed)
    blotches = Image.fromarray(random.integers(0, 256, (7, 5, 3), dtype=np.uint8))
    pixels = np.asarray(blotches.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-20, 21, (height, width, 1), dtype=np.int16)
    image = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize((width, height)))
    else:
        image = image.convert(mode)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=exif, **options)
    return out.getvalue()


def trained_on(photos: Sequence[bytes], size: int, folder: Path) -> np.ndarray:
    """What the training loads of photos."""
    (folder / "clothing").mkdir(exist_ok=True)
    listed = [dataset.Photo(f"{number}.img", "1", "hat", 1) for number in range(len(photos))]
    for photo, entry in zip(photos, listed, strict=True):
        (folder / "clothing" / entry.path).write_bytes(photo)
    return dataset.load_pixels(folder, listed, size, folder / "cache")


def laid_out(photo: bytes, folder: Path) -> np.ndarray:
    """What a full run leaves of a photo for its trainer."""
    digest = hashlib.sha256(photo).hexdigest()
    full_run._decode(photo, digest, folder / f"{digest}.npy")
    return cast(np.ndarray, np.load(folder / f"{digest}.npy"))


@pytest.mark.parametrize("encoding", ENCODINGS)
# Not shrunk: that would take minutes, and tell nothing that the encoding and the array do not.
@settings(max_examples=2, phases=[Phase.generate])
@given(sizes=st.lists(SIZES, min_size=8, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_all_who_look_at_a_photo_see_the_same_pixels_and_the_same_features(
    model: Watched, encoding: str, sizes: list[tuple[int, int]], seed: int
) -> None:
    photos = [
        make_photo(encoding, width, height, orientation, seed)
        for orientation, (width, height) in enumerate(sizes, start=1)
    ]
    extractor = FeatureExtractor(cast(Database, None), cast(ObjectStore, None), model, "backbone")
    with tempfile.TemporaryDirectory() as name:
        trained = trained_on(photos, model.input_size, Path(name))
        tuned = trained_on(photos, SOURCE_SIZE, Path(name))
        full = [laid_out(photo, Path(name)) for photo in photos]
    for photo, pixels, large, corrected in zip(photos, trained, tuned, full, strict=True):
        served_large = decode_for_model(photo, SOURCE_SIZE)
        assert np.array_equal(large, served_large)
        assert np.array_equal(corrected, served_large)

        model.shown.clear()
        seen = extractor._features(photo)
        reading = model.read(photo)
        # What comes after these are parts of a photo that seems to show several garments.
        (refit, felt), (served, said) = model.shown[:2]
        assert np.array_equal(served[0], pixels)
        assert np.array_equal(served, refit)
        for field in ("probs", "features", "known", "several"):
            assert np.array_equal(getattr(felt, field), getattr(said, field)), field
        assert seen.features == said.features[0].astype(np.float16).tobytes()
        assert seen.picture_hash == picture_hash(pixels)
        probs = model.priors.applied(said.probs[0], None)
        whole = model.interpret(probs, float(said.known[0]), float(said.several[0]))
        if whole.multiple:
            whole = model.look_closer(whole, decode_for_model(photo, 2 * model.input_size))
        assert reading == whole

    # The photos that judge a model, of which one is as good as eight.
    photo = photos[seed % 8]
    judged = _extract_here(model, [LabelledPhoto(photo, 0)], judge=True)
    seen = extractor._features(photo)
    assert (seen.features, seen.picture_hash) == (judged["features"].tobytes(), judged["hashes"].tobytes())
