"""The reader, tried on the model that is shipped and on broken copies of it."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from laundry_reading.manifest import Manifest
from laundry_reading.model import MAX_SHOWN, MIN_SHOWN, Model, ModelError
from laundry_reading.photo import NotAnImage
from laundry_reading.preprocess import PREPROCESS_VERSION

from .pictures import encode, scene


@pytest.fixture(scope="module")
def manifest(shipped: Path) -> Manifest:
    return Manifest.from_json((shipped / "manifest.json").read_bytes())


@pytest.fixture(scope="module")
def data(shipped: Path, manifest: Manifest) -> bytes:
    return (shipped / manifest.file).read_bytes()


@pytest.fixture(scope="module")
def model(data: bytes, manifest: Manifest) -> Model:
    return Model.load(data, sha256=manifest.sha256)


def test_the_manifest_describes_the_file(data: bytes, manifest: Manifest, model: Model) -> None:
    assert hashlib.sha256(data).hexdigest() == manifest.sha256
    assert len(data) == manifest.file_bytes <= 10_000_000
    assert list(model.labels) == manifest.labels == sorted(manifest.labels)
    assert model.version == manifest.version
    assert model.threshold == manifest.threshold
    assert model.input_size == manifest.input_size
    assert manifest.preprocess_version == PREPROCESS_VERSION
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_photo_is_read_from_a_file_as_from_bytes(shipped: Path, manifest: Manifest, model: Model) -> None:
    photo = encode(scene(640, 480), "JPEG")
    reading = Model.load(shipped / manifest.file).read(photo)
    assert reading == model.read(photo)
    assert reading.model_version == manifest.version
    assert 1 <= len(reading.labels) <= MAX_SHOWN
    assert all(guess.label in manifest.labels and guess.count == 1 for guess in reading.labels)
    assert reading.needs_review or reading.labels[0].confidence >= model.threshold


def test_what_is_no_photo_is_told_apart_from_a_broken_model(model: Model) -> None:
    with pytest.raises(NotAnImage):
        model.read(b"not a photo")


def test_a_batch_gives_what_single_photos_give(model: Model) -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (5, model.input_size, model.input_size, 3), dtype=np.uint8)
    probs, features = model.predict(images)
    single = [model.predict(images[index : index + 1]) for index in range(5)]
    assert np.allclose(probs, np.concatenate([each[0] for each in single]), atol=1e-4)
    assert np.allclose(features, np.concatenate([each[1] for each in single]), atol=1e-3)
    assert probs.shape == (5, len(model.labels))


def test_the_mirror_image_reads_the_same(model: Model) -> None:
    random = np.random.default_rng(4)
    images = random.integers(0, 256, (3, model.input_size, model.input_size, 3), dtype=np.uint8)
    assert np.allclose(model.predict(images)[0], model.predict(images[:, :, ::-1].copy())[0], atol=1e-4)


def test_threads_may_share_a_model(model: Model) -> None:
    photos = [encode(scene(300 + 10 * index, 200), "JPEG") for index in range(8)]
    alone = [model.read(photo) for photo in photos]
    start = threading.Barrier(4)

    def read_all(_: int) -> list[object]:
        start.wait(timeout=30)
        return [model.read(photo) for photo in photos]

    with ThreadPoolExecutor(4) as pool:
        assert all(result == alone for result in pool.map(read_all, range(4)))


@settings(deadline=None, max_examples=200)
@given(raw=arrays(np.float32, 10, elements=st.floats(0, 1, width=32)).filter(lambda row: row.sum() > 0.01))
def test_guesses_come_best_first_and_only_if_likely(model: Model, raw: np.ndarray) -> None:
    probs = raw / raw.sum()
    reading = model.interpret(probs)
    shown = [guess.confidence for guess in reading.labels]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == pytest.approx(float(probs.max()), abs=1e-4)
    assert all(confidence >= MIN_SHOWN - 1e-4 for confidence in shown[1:])
    assert reading.needs_review == bool(probs.max() < model.threshold)


@settings(deadline=None, max_examples=100)
@given(
    raw=arrays(np.float32, 10, elements=st.floats(0, 1, width=32)).filter(lambda row: row.sum() > 0.01),
    known=st.floats(0, 1),
)
def test_what_is_hardly_of_any_class_goes_to_a_person(model: Model, raw: np.ndarray, known: float) -> None:
    probs = raw / raw.sum()
    sure, doubted = model.interpret(probs), model.interpret(probs, known)
    assert doubted.labels == sure.labels
    assert doubted.needs_review == bool(probs.max() * known < model.threshold)
    assert doubted.needs_review or not sure.needs_review


@pytest.mark.parametrize("broken", [b"", b"hello", b"\x08\x01" * 50])
def test_no_model_at_all(broken: bytes) -> None:
    with pytest.raises(ModelError):
        Model.load(broken)


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        Model.load(tmp_path / "absent.onnx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_model_is_refused(data: bytes, share: float) -> None:
    with pytest.raises(ModelError):
        Model.load(data[: int(share * len(data))])


def test_a_wrong_hash_is_refused_before_the_bytes_are_parsed() -> None:
    with pytest.raises(ModelError, match="sha256"):
        Model.load(b"whatever", sha256="0" * 64)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (PREPROCESS_VERSION.encode(), b"x" * len(PREPROCESS_VERSION)),
        (b"preprocess_version", b"preprocess_versiom"),
        (b"threshold", b"threshole"),
        (b'["dress"', b'{"dress"'),
        (b'"shoes"', b'"shirt"'),
        (b"features", b"feathers"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(data: bytes, right: bytes, wrong: bytes) -> None:
    assert len(right) == len(wrong)
    assert right in data
    with pytest.raises(ModelError):
        Model.load(data.replace(right, wrong))


def test_a_model_that_says_nothing_sensible_is_refused(model: Model) -> None:
    with pytest.raises(ModelError):
        model.predict(np.zeros((1, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(ModelError):
        model.predict(np.zeros((1, model.input_size, model.input_size, 3), dtype=np.float32))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "../../etc"),
        ("file", "../model.onnx"),
        ("sha256", "abc"),
        ("threshold", 1.5),
        ("labels", ["one"]),
        ("created_at", "2026-01-01T00:00:00"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(manifest: Manifest, field: str, value: object) -> None:
    fields = json.loads(manifest.to_json())
    fields[field] = value
    with pytest.raises(ValueError, match=field):
        Manifest.from_json(json.dumps(fields))
