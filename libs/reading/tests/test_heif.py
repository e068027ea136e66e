"""HEIC and AVIF: turned once, read in tiles, and refused where a piece is missing."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laundry_reading.heif import read_container
from laundry_reading.heif_picture import (
    MAX_DEEP_RICH_TILE_PIXELS,
    MAX_DEEP_TILE_PIXELS,
    MAX_RICH_TILE_PIXELS,
    MAX_TILE_PIXELS,
    decode_heif,
    read_heif,
)
from laundry_reading.photo import DamagedPhoto, PhotoError, TooManyPixels, TruncatedPhoto, check_photo
from laundry_reading.preprocess import decode_for_model

from .pictures import box, deep_heic, encode, half_transparent, heic, heic_of_tiles, scene
from .test_preprocess import STORED

SIZE = 96
PICTURE = scene(640, 480)
HALF = half_transparent(PICTURE)


@cache
def plain() -> np.ndarray:
    """The picture as it is read from a file that loses nothing."""
    return decode_for_model(encode(PICTURE, "PNG"), SIZE).astype(int)


def distance(photo: bytes) -> float:
    return float(np.abs(decode_for_model(photo, SIZE) - plain()).mean())


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_what_container_and_exif_say_alike_turns_it_once(kind: str, orientation: int) -> None:
    turn = STORED[orientation]
    stored = PICTURE if turn is None else PICTURE.transpose(turn)
    photo = heic(stored, kind=kind, orientation=orientation)
    assert (b"irot" in photo or b"imir" in photo) is (orientation > 1)
    assert check_photo(photo).media_type == ("image/heic" if kind == "HEIF" else "image/avif")
    assert distance(photo) < 2


def test_exif_turns_a_heic_whose_container_says_nothing() -> None:
    turned = heic(PICTURE.transpose(Image.Transpose.ROTATE_90), orientation=6)
    assert distance(turned) < 2
    silent = turned.replace(b"irot", b"free")
    assert read_heif(silent)[1].main.find(b"irot") is None
    assert distance(silent) < 2


@pytest.mark.parametrize("tile", [64, 256, 512])
def test_a_grid_is_one_picture_without_a_seam(tile: int) -> None:
    photo = heic(PICTURE, tile_size=tile)
    lean, picture = read_heif(photo)
    assert (lean.width, lean.height) == (640, 480)
    assert len(picture.tiles) == -(-640 // tile) * -(-480 // tile)
    assert distance(photo) < 2


def test_ten_bits_thumbnails_and_gray() -> None:
    assert distance(deep_heic(PICTURE)) < 2
    assert distance(heic(PICTURE, thumbnails=[128])) < 2
    gray = PICTURE.convert("L")
    expected = decode_for_model(encode(gray, "PNG"), SIZE).astype(int)
    assert np.abs(decode_for_model(heic(gray), SIZE) - expected).mean() < 2


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_what_is_transparent_lies_on_white(kind: str) -> None:
    seen = decode_for_model(heic(HALF, kind=kind), SIZE)
    assert (seen[:, :40] > 250).all()
    assert np.abs(seen[:, 56:].astype(int) - plain()[:, 56:]).mean() < 3


@pytest.mark.parametrize("how", [{}, {"tile_size": 256}, {"kind": "AVIF"}], ids=str)
def test_a_cut_is_told_as_one(how: dict[str, Any]) -> None:
    photo = heic(PICTURE, **how)
    for share in (0.02, 0.2, 0.5, 0.9, 0.99):
        with pytest.raises(TruncatedPhoto):
            check_photo(photo[: int(share * len(photo))])
    assert check_photo(photo + bytes(3000)).width == 640


def test_boxes_of_any_size_and_order_are_found() -> None:
    photo = heic(PICTURE)
    end = int.from_bytes(photo[:4], "big")
    # A box more shifts what `iloc` counts from the file's start, so it goes behind.
    assert distance(photo + box(b"free", bytes(100)) + box(b"uuid", bytes(20))) < 2
    assert read_container(photo).items
    with pytest.raises(PhotoError):
        check_photo(photo[:end] + box(b"mdat", bytes(100)))


def test_one_piece_has_a_limit_and_a_grid_has_not() -> None:
    photo = heic(PICTURE)
    width, height = (640).to_bytes(4, "big"), (480).to_bytes(4, "big")
    assert photo.count(width + height) == 1
    large = photo.replace(width + height, (8160).to_bytes(4, "big") + (6144).to_bytes(4, "big"))
    with pytest.raises(TooManyPixels, match="one piece"):
        check_photo(large)


@pytest.mark.parametrize(
    ("photo", "kind", "limits"),
    [
        (heic(PICTURE), "HEIC", MAX_TILE_PIXELS),
        (heic(PICTURE, chroma=444), "HEIC", MAX_RICH_TILE_PIXELS),
        (heic(HALF, chroma=420), "HEIC", MAX_RICH_TILE_PIXELS),
        (deep_heic(PICTURE), "HEIC", MAX_DEEP_TILE_PIXELS),
        (deep_heic(PICTURE, chroma=444), "HEIC", MAX_DEEP_RICH_TILE_PIXELS),
        (heic(PICTURE, kind="AVIF"), "AVIF", MAX_TILE_PIXELS),
        (heic(PICTURE, kind="AVIF", subsampling="4:4:4"), "AVIF", MAX_RICH_TILE_PIXELS),
        (heic(HALF, kind="AVIF"), "AVIF", MAX_RICH_TILE_PIXELS),
    ],
)
def test_one_piece_may_be_as_large_as_its_kind_weighs(
    photo: bytes, kind: str, limits: dict[str, int]
) -> None:
    size = (640).to_bytes(4, "big") + (480).to_bytes(4, "big")
    most = limits[kind]
    wide = (8000).to_bytes(4, "big")
    assert read_heif(photo.replace(size, wide + (most // 8000).to_bytes(4, "big")))[0].format == kind
    with pytest.raises(TooManyPixels, match="one piece") as caught:
        read_heif(photo.replace(size, wide + (most // 8000 + 1).to_bytes(4, "big")))
    assert caught.value.facts["max_pixels"] == most


@pytest.mark.parametrize("tile", [(254, 262), (202, 206)], ids=str)
def test_tiles_that_no_block_divides_are_made_as_small_as_others(tile: tuple[int, int]) -> None:
    photo = heic_of_tiles(6, 5, tile=tile)
    _, picture = read_heif(photo)
    # Both sides are twice a prime.
    small = decode_heif(picture, 150)
    assert 150 <= min(small.size) < 300
    whole = decode_heif(picture, 10_000).resize(small.size, Image.Resampling.BOX)
    off = np.abs(np.asarray(small).astype(int) - np.asarray(whole))
    assert off.mean() < 4


def test_pixels_that_do_not_decode_are_told_as_damage() -> None:
    photo = bytearray(heic(PICTURE))
    at = photo.index(b"mdat") + 4
    photo[at + 4 : at + 200] = bytes(196)
    with pytest.raises(DamagedPhoto):
        check_photo(bytes(photo))
