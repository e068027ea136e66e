"""Photos that ship with a model and judge its descendants."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from laundry_learning.artifacts import artifact_of, held_out_of
from laundry_learning.graph import read_head
from laundry_learning.holdout import BrokenHoldout, LabelledPhoto, read_holdout, read_rehearsal, write_beside
from laundry_reading.manifest import Manifest
from laundry_testing.models import LABELS as LABELS3
from laundry_testing.models import colour_model, manifest_of, photo_of, seeing_several, ship


def test_held_out_photos_ship_with_a_model_and_are_checked(tmp_path: Path) -> None:
    ship(tmp_path, "m1")
    photos = [
        LabelledPhoto(photo_of(label, seed=seed), LABELS3.index(label), f"h{seed}")
        for seed in range(4)
        for label in LABELS3
    ]
    manifest = write_beside(tmp_path, photos, photos[:3])
    entry = held_out_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()))
    assert entry is not None
    assert manifest.sha256 == manifest_of("m1", colour_model("m1")).sha256
    data = (tmp_path / entry.file).read_bytes()
    held = read_holdout(data, entry, labels=3)
    head = read_head(colour_model("m1"))
    assert (head.probabilities(held.features).argmax(axis=1) == held.targets).all()
    assert sorted(np.bincount(held.households)) == [3, 3, 3, 3]
    assert hashlib.sha256(photos[0].photo).hexdigest() in held.photos
    again = artifact_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()), "rehearsal")
    assert again is not None
    assert len(read_rehearsal((tmp_path / again.file).read_bytes(), again, labels=3).targets) == 3
    for wrong, labels in ((data + b"x", 3), (data, 2)):
        with pytest.raises(BrokenHoldout):
            read_holdout(wrong, entry, labels=labels)


def test_held_out_photos_tell_why_the_model_leaves_them_to_people(tmp_path: Path) -> None:
    ship(tmp_path, "m1", seeing_several(colour_model("m1")))
    write_beside(tmp_path, [LabelledPhoto(photo_of(label, seed=1), 0, "h1") for label in LABELS3])
    entry = held_out_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()))
    assert entry is not None
    data = (tmp_path / entry.file).read_bytes()
    held = read_holdout(data, entry, labels=3)
    confidence = read_head(colour_model("m1")).probabilities(held.features).max(axis=1)
    assert held.known.tolist() == [1, 1, 1]
    assert held.several == pytest.approx(1 - confidence, abs=1e-2)
    doubts = held.doubts(several_threshold=0.0)
    assert doubts is not None
    assert doubts.several.all()
    # A file from before that was stored says nothing of it, and not that there is no doubt.
    with np.load(io.BytesIO(data)) as stored:
        kept = {name: stored[name] for name in stored.files if name not in ("known", "several")}
    older = io.BytesIO()
    np.savez_compressed(older, allow_pickle=False, **kept)
    digest = hashlib.sha256(older.getvalue()).hexdigest()
    entry = entry.model_copy(update={"sha256": digest})
    assert read_holdout(older.getvalue(), entry, labels=3).doubts(0.5) is None
