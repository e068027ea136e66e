"""The weights that a fine-tuning starts from."""

from pathlib import Path

import numpy as np
import pytest

from laundry_learning.artifacts import artifact_of
from laundry_learning.weights import BrokenWeights, pack, recover, unpack, write
from laundry_reading.manifest import Manifest
from laundry_testing.models import colour_model, ship

MODELS = Path(__file__).parents[3] / "models"


def test_weights_come_back_as_they_were_but_for_rounding() -> None:
    random = np.random.default_rng(0)
    state: dict[str, np.ndarray] = {
        "a.weight": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "a.bias": random.normal(size=4).astype(np.float32),
        "seen": np.array(7, dtype=np.int64),
    }
    back = unpack(pack(state))
    assert set(back) == set(state)
    assert back["a.weight"].dtype == np.float32
    np.testing.assert_allclose(back["a.weight"], state["a.weight"], rtol=1e-3)
    np.testing.assert_array_equal(back["a.bias"], state["a.bias"])
    assert back["seen"] == 7
    for broken in (b"", pack({"a.bias": np.array([np.nan])}), pack(state)[:-40]):
        with pytest.raises(BrokenWeights):
            unpack(broken)


def test_weights_are_named_in_the_manifest_beside_what_is_there(tmp_path: Path) -> None:
    ship(tmp_path, "m-1")
    write(tmp_path, {"head.weight": np.full((2, 2), 0.5)})
    manifest = Manifest.from_json((tmp_path / "manifest.json").read_bytes())
    entry = artifact_of(manifest, "weights")
    assert entry is not None
    assert entry.key == "models/m-1/laundry-m-1.weights.npz"
    assert entry.matches((tmp_path / entry.file).read_bytes())


def test_the_shipped_model_has_weights_to_start_from() -> None:
    manifest = Manifest.from_json((MODELS / "manifest.json").read_bytes())
    entry = artifact_of(manifest, "weights")
    assert entry is not None
    data = (MODELS / entry.file).read_bytes()
    assert entry.matches(data)
    state = unpack(data)
    assert state["head.weight"].shape == (len(manifest.labels), 256)
    assert sum(each.size for name, each in state.items() if name.endswith("weight")) > 2_000_000


def test_weights_are_taken_out_of_a_model_in_floats_only() -> None:
    with pytest.raises(BrokenWeights, match="make model"):
        recover(colour_model("m-1"))
