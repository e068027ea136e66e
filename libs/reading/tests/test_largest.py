"""The largest photos that are taken are also read, and their pictures made, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.photo import LEAST, MAX_PIXELS, TooManyPixels, check_photo
from laundry_reading.pictures import make_pictures
from laundry_reading.preprocess import decode_for_model
from laundry_reading.webp import MAX_WHOLE_PIXELS

from .pictures import (
    QUICK,
    encode,
    enlarged,
    half_transparent,
    heic,
    heic_of_tiles,
    jpeg_of_rows,
    png_of_rows,
    scene,
)
from .test_worker import answers

SCRIPT = Path(__file__).with_name("read_largest.py")
MOST_MB = 235
"""With what a replica holds at rest, some 165 MB, this is the 400 MB that a reader may have in all."""

BLOCKS = scene(100, 75)
MP_50, MP_108, MP_200 = (8160, 6144), (12_000, 9000), (16_320, 12_240)


LARGEST: dict[str, tuple[Callable[[], bytes], tuple[int, int], int]] = {
    "jpeg, 50 MP": (lambda: jpeg_of_rows(*MP_50), MP_50, 60),
    "jpeg, 108 MP": (lambda: jpeg_of_rows(*MP_108), MP_108, 100),
    "jpeg, 200 MP": (lambda: jpeg_of_rows(*MP_200), MP_200, 120),
    "progressive jpeg": (
        lambda: encode(enlarged(8640, 6480), "JPEG", progressive=True),
        (8640, 6480),
        MOST_MB,
    ),
    # As many coefficients as are taken.
    "progressive jpeg in full colour": (
        lambda: encode(enlarged(6490, 4867), "JPEG", progressive=True, subsampling=0),
        (6490, 4867),
        MOST_MB,
    ),
    "progressive jpeg, long": (
        lambda: encode(enlarged(18_300, 1727), "JPEG", progressive=True, subsampling=0),
        (18_300, 1727),
        MOST_MB,
    ),
    "png, 30 MP": (lambda: png_of_rows(6320, 4740), (6320, 4740), MOST_MB),
    "png, 50 MP": (lambda: png_of_rows(*MP_50), MP_50, 120),
    "png, 108 MP": (lambda: png_of_rows(*MP_108), MP_108, 150),
    "png, 200 MP": (lambda: png_of_rows(*MP_200), MP_200, 200),
    "png, 30 MP, transparent": (lambda: png_of_rows(6320, 4740, mode="RGBA"), (6320, 4740), MOST_MB),
    "png, 30 MP, sixteen bits of gray": (
        lambda: png_of_rows(6320, 4740, mode="L", depth=16),
        (6320, 4740),
        MOST_MB,
    ),
    "png, 30 MP, sixteen bits and transparent": (
        lambda: png_of_rows(6320, 4740, mode="RGBA", depth=16),
        (6320, 4740),
        MOST_MB,
    ),
    "png, 200 MP, transparent": (lambda: png_of_rows(*MP_200, mode="RGBA"), MP_200, MOST_MB),
    "png, as wide as any": (lambda: png_of_rows(30_000, 7000), (30_000, 7000), MOST_MB),
    "png, as long as any": (lambda: png_of_rows(863, 10_356, mode="RGBA"), (863, 10_356), 150),
    "interlaced png": (lambda: png_of_rows(7740, 5810, interlaced=True), (7740, 5810), MOST_MB),
    "interlaced png, transparent": (
        lambda: png_of_rows(7740, 5810, mode="RGBA", interlaced=True),
        (7740, 5810),
        MOST_MB,
    ),
    "webp, 12 MP": (lambda: encode(enlarged(4000, 3000), "WEBP", method=0), (4000, 3000), 230),
    "webp, 12 MP, transparent": (
        lambda: encode(half_transparent(enlarged(4000, 3000)), "WEBP", method=0),
        (4000, 3000),
        230,
    ),
    "webp, 50 MP": (lambda: encode(enlarged(*MP_50), "WEBP", method=0, quality=50), MP_50, 120),
    "lossless webp": (
        lambda: encode(enlarged(6900, 5175), "WEBP", lossless=True, quality=0, method=0),
        (6900, 5175),
        MOST_MB,
    ),
    "heic in one piece": (
        lambda: heic_of_tiles(1, 1, tile=(6600, 4950)),
        (6600, 4950),
        MOST_MB,
    ),
    "heic in full colour and transparent": (
        lambda: heic(half_transparent(enlarged(4600, 3470)), chroma=444, **QUICK),
        (4600, 3470),
        MOST_MB,
    ),
    "avif": (lambda: encode(enlarged(5160, 3870), "AVIF", speed=10, quality=40), (5160, 3870), MOST_MB),
    "avif in full colour and transparent": (
        lambda: encode(
            half_transparent(enlarged(4320, 3240)), "AVIF", speed=10, quality=40, subsampling="4:4:4"
        ),
        (4320, 3240),
        MOST_MB,
    ),
    "heic of tiles that no block divides": (
        lambda: heic_of_tiles(12, 9, tile=(1018, 1018)),
        (12_216, 9162),
        90,
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
    if most_mb > 150:
        # What the upload asks has room for them too.
        check, pictures = answers([(photo.read_bytes(), "check"), (photo.read_bytes(), "pictures")])
        assert check["info"]["width"] == size[0]
        assert len(pictures["pictures"]) == 2


def test_a_check_decodes_to_what_a_reader_decodes(shipped: Path) -> None:
    file = Manifest.from_json((shipped / "manifest.json").read_bytes()).file
    assert Model.load(shipped / file).input_size * 4 == LEAST


TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "a long png": lambda: png_of_rows(145_000, 431),
    "a long and small png": lambda: png_of_rows(100_000, 431, mode="L"),
    "a long png, transparent": lambda: png_of_rows(69_000, 431, mode="RGBA"),
    "a high png": lambda: png_of_rows(1, 1_000_000, mode="RGBA"),
    "a long heic of tiles": lambda: heic_of_tiles(250, 1, tile=(4096, 120)),
    "a long jpeg": lambda: jpeg_of_rows(65_424, 431),
    "a png of wide and heavy rows": lambda: png_of_rows(16_320, 12_240, mode="RGBA", depth=16),
    "a heic with transparency": lambda: heic(half_transparent(enlarged(5200, 3900)), chroma=420, **QUICK),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_a_reader_has_no_room_for_is_refused_by_its_header(name: str) -> None:
    photo = TOO_LARGE[name]()
    for read in (check_photo, make_pictures, lambda photo: decode_for_model(photo, 108)):
        with pytest.raises(TooManyPixels):
            read(photo)
