"""The largest photos that are taken are also read, and their pictures made, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from laundry_reading.manifest import Manifest
from laundry_reading.photo import MAX_PIXELS
from laundry_reading.webp import MAX_WHOLE_PIXELS

from .pictures import encode, heic_of_tiles, jpeg_of_rows, png_of_rows, scene

SCRIPT = Path(__file__).with_name("read_largest.py")
MOST_MB = 235
"""With what a replica holds at rest, some 165 MB, this is the 400 MB that a reader may have in all."""

BLOCKS = scene(100, 75)
MP_50, MP_108, MP_200 = (8160, 6144), (12_000, 9000), (16_320, 12_240)


def enlarged(size: tuple[int, int]) -> Image.Image:
    return BLOCKS.resize(size, Image.Resampling.NEAREST)


LARGEST: dict[str, tuple[Callable[[], bytes], tuple[int, int], int]] = {
    "jpeg, 50 MP": (lambda: jpeg_of_rows(*MP_50), MP_50, 60),
    "jpeg, 108 MP": (lambda: jpeg_of_rows(*MP_108), MP_108, 100),
    "jpeg, 200 MP": (lambda: jpeg_of_rows(*MP_200), MP_200, 120),
    "progressive jpeg": (
        lambda: encode(enlarged((8640, 6480)), "JPEG", progressive=True),
        (8640, 6480),
        MOST_MB,
    ),
    # As many coefficients as are taken.
    "progressive jpeg in full colour": (
        lambda: encode(enlarged((6660, 4995)), "JPEG", progressive=True, subsampling=0),
        (6660, 4995),
        MOST_MB,
    ),
    "png, 30 MP": (lambda: png_of_rows(6320, 4740), (6320, 4740), MOST_MB),
    "png, 50 MP": (lambda: png_of_rows(*MP_50), MP_50, 120),
    "png, 108 MP": (lambda: png_of_rows(*MP_108), MP_108, 150),
    "png, 200 MP": (lambda: png_of_rows(*MP_200), MP_200, 200),
    "webp, 12 MP": (lambda: encode(enlarged((4000, 3000)), "WEBP", method=0), (4000, 3000), 230),
    "webp, 50 MP": (lambda: encode(enlarged(MP_50), "WEBP", method=0, quality=50), MP_50, 120),
    "lossless webp": (
        lambda: encode(enlarged((6900, 5175)), "WEBP", lossless=True, quality=0, method=0),
        (6900, 5175),
        MOST_MB,
    ),
    "heic in one piece": (
        lambda: heic_of_tiles(1, 1, tile=(6600, 4950)),
        (6600, 4950),
        MOST_MB,
    ),
    "heic, 50 MP": (lambda: heic_of_tiles(16, 12, tile=(512, 512)), (8192, 6144), 90),
    "heic, 108 MP": (lambda: heic_of_tiles(12, 9, tile=(1024, 1024)), (12_288, 9216), 90),
    "heic, 200 MP": (lambda: heic_of_tiles(16, 12, tile=(1024, 1024)), (16_384, 12_288), 90),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is told by /proc")
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_photos_are_read_in_bounded_memory(name: str, shipped: Path, tmp_path: Path) -> None:
    make, size, most_mb = LARGEST[name]
    assert size[0] * size[1] <= MAX_PIXELS
    assert "lossless" not in name or size[0] * size[1] <= MAX_WHOLE_PIXELS
    photo, small, pixels = tmp_path / "photo", tmp_path / "small", tmp_path / "pixels.npy"
    photo.write_bytes(make())
    small.write_bytes(encode(BLOCKS, "JPEG"))
    file = shipped / Manifest.from_json((shipped / "manifest.json").read_bytes()).file

    child = subprocess.run(
        [sys.executable, SCRIPT, file, photo, small, pixels],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout)
    assert told["size"] == list(size)
    assert max(told["display"]) == 1600
    assert max(told["thumbnail"]) == 320
    assert np.load(pixels).std() > 5
    assert told["added_mb"] < most_mb <= MOST_MB
