"""Photos that ship with a model and judge its descendants."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from laundry_learning.artifacts import artifact_of, held_out_of
from laundry_learning.graph import read_head
from laundry_learning.holdout import BrokenHoldout, LabelledPhoto, read_holdout, read_rehearsal, write_beside
from laundry_reading.manifest import Manifest
from laundry_testing.models import LABELS as LABELS3
from laundry_testing.models import colour_model, manifest_of, photo_of, ship


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
