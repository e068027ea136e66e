"""The largest photo that is taken is also read, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encode, scene
from PIL import Image

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.photo import MAX_PIXELS, MAX_WEBP_PIXELS
from laundry_reading.preprocess import decode_for_model

SCRIPT = Path(__file__).with_name("read_largest.py")
WIDTH, HEIGHT = 10_000, 5_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is told by /proc")
@pytest.mark.parametrize(
    ("kind", "options", "most_mb"),
    [
        ("JPEG", {}, 10),
        ("JPEG", {"progressive": True}, 180),
        # Its coefficients are held until the last scan, two bytes each, and here no colour has fewer of them.
        ("JPEG", {"progressive": True, "subsampling": 0}, 330),
        ("PNG", {"compress_level": 1}, 220),
        ("WEBP", {"method": 0}, 430),
    ],
    ids=["baseline", "progressive", "progressive in full colour", "png", "webp"],
)
def test_the_largest_photos_are_read_in_bounded_memory(
    kind: str, options: dict[str, Any], most_mb: int, shipped: Path, tmp_path: Path
) -> None:
    assert WIDTH * HEIGHT == MAX_PIXELS == 2 * MAX_WEBP_PIXELS
    width, most_pixels = (WIDTH // 2, MAX_WEBP_PIXELS) if kind == "WEBP" else (WIDTH, MAX_PIXELS)
    blocks = scene(100, 50)
    photo, small, pixels = tmp_path / "photo", tmp_path / "small", tmp_path / "pixels.npy"
    photo.write_bytes(encode(blocks.resize((width, HEIGHT), Image.Resampling.NEAREST), kind, **options))
    small.write_bytes(encode(blocks.resize((width // 10, 500), Image.Resampling.NEAREST), kind, **options))
    file = shipped / Manifest.from_json((shipped / "manifest.json").read_bytes()).file

    child = subprocess.run(
        [sys.executable, SCRIPT, file, photo, small, pixels],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout)

    model = Model.load(file)
    expected = decode_for_model(small.read_bytes(), model.input_size)
    assert np.abs(np.load(pixels).astype(int) - expected).mean() < 2
    best = model.read(small.read_bytes()).labels[0]
    assert told["pixels"] == most_pixels
    assert told["label"] == best.label
    assert told["confidence"] == pytest.approx(best.confidence, abs=0.05)
    assert told["added_mb"] < most_mb
