"""Which files are taken as photos, and what is said about the others."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laundry_reading import webp
from laundry_reading.jpeg import MAX_SEGMENTS
from laundry_reading.photo import (
    DamagedPhoto,
    EmptyPhoto,
    PhotoError,
    PhotoInfo,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    check_photo,
    inspect_at_once,
    inspect_photo,
)

from .pictures import encode, heic, png_that_claims, scene, segment
from .work import bounded

PHOTOS = {
    "jpeg": encode(scene(160, 120), "JPEG", quality=90),
    "progressive": encode(scene(160, 120), "JPEG", quality=90, progressive=True),
    "png": encode(scene(160, 120), "PNG"),
    "webp": encode(scene(160, 120), "WEBP"),
    "lossless": encode(scene(160, 120), "WEBP", lossless=True),
}


@pytest.mark.parametrize(
    ("name", "media_type", "extension"),
    [
        ("jpeg", "image/jpeg", "jpg"),
        ("progressive", "image/jpeg", "jpg"),
        ("png", "image/png", "png"),
        ("webp", "image/webp", "webp"),
        ("lossless", "image/webp", "webp"),
    ],
)
def test_the_header_tells_type_and_size(name: str, media_type: str, extension: str) -> None:
    sure = media_type == "image/jpeg"
    assert inspect_photo(PHOTOS[name]) == PhotoInfo(media_type, 160, 120, extension, sure)
    assert check_photo(PHOTOS[name]) == inspect_photo(PHOTOS[name])


def test_no_bytes_are_no_photo() -> None:
    with pytest.raises(EmptyPhoto):
        inspect_photo(b"")


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    with pytest.raises(TooManyBytes):
        inspect_photo(PHOTOS["jpeg"] + bytes(100), max_bytes=len(PHOTOS["jpeg"]) + 99)


@pytest.mark.parametrize(("width", "height"), [(21_000, 10_001), (60_000, 60_000), (2_000_000_000, 2)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(TooManyPixels):
        inspect_photo(png_that_claims(width, height))


def lossless_webp_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encode(scene(16, 16), "WEBP", lossless=True))
    # VP8L keeps width - 1 and height - 1 in 14 bits each behind its signature byte.
    assert data[20] == 0x2F
    size = int.from_bytes(data[21:25], "little") >> 28 << 28 | (height - 1) << 14 | (width - 1)
    data[21:25] = size.to_bytes(4, "little")
    return bytes(data)


def test_what_a_decoder_holds_whole_has_a_lower_limit_that_is_told() -> None:
    with pytest.raises(TooManyPixels, match="lossless") as caught:
        inspect_photo(lossless_webp_that_claims(8000, 6000))
    assert caught.value.facts["max_pixels"] == webp.MAX_WHOLE_PIXELS
    interlaced = bytearray(png_that_claims(9000, 6000))
    interlaced[28] = 1
    with pytest.raises(TooManyPixels, match="interlaced"):
        inspect_photo(bytes(interlaced))
    progressive = bytearray(encode(scene(64, 48), "JPEG", progressive=True, subsampling=0))
    at = progressive.index(b"\xff\xc2")
    progressive[at + 5 : at + 9] = (6000).to_bytes(2, "big") + (9000).to_bytes(2, "big")
    with pytest.raises(TooManyPixels, match="progressive"):
        inspect_photo(bytes(progressive))


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(PHOTOS["jpeg"])
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("width", "height"),
    [(145_000, 431), (431, 145_000), (100_000, 431), (8193, 1), (12_001, 1000), (60_000, 863)],
)
@pytest.mark.parametrize("claim", [png_that_claims, jpeg_that_claims])
def test_what_is_too_long_for_how_narrow_it_is_is_refused(
    claim: Callable[[int, int], bytes], width: int, height: int
) -> None:
    if claim is jpeg_that_claims and max(width, height) > 65_500:
        pytest.skip("no JPEG is as long")
    with pytest.raises(TooManyPixels, match="so narrow") as caught:
        inspect_photo(claim(width, height))
    narrow = min(width, height)
    assert caught.value.facts == {
        "width": width,
        "height": height,
        "max_pixels": max(8192, 12 * narrow) * narrow,
    }


@pytest.mark.parametrize(
    ("width", "height"),
    [(16_382, 3600), (3600, 16_382), (12_416, 1856), (8192, 431), (8192, 1), (20_000, 2200)],
)
def test_the_panoramas_of_phones_are_taken(width: int, height: int) -> None:
    assert inspect_photo(jpeg_that_claims(width, height)).width == width
    if width <= 16_384:
        assert inspect_photo(png_that_claims(width, height)).width == width


def test_a_png_has_a_width_as_its_rows_weigh() -> None:
    for depth, colour, most in [
        (8, 2, 30_000),
        (8, 3, 30_000),
        (8, 6, 16_384),
        (16, 2, 16_384),
        (16, 4, 12_000),
    ]:
        photo = bytearray(png_that_claims(most, 5000))
        photo[24], photo[25] = depth, colour
        assert inspect_photo(bytes(photo)).width == most
        photo[16:20] = (most + 1).to_bytes(4, "big")
        with pytest.raises(TooManyPixels, match="a row") as caught:
            inspect_photo(bytes(photo))
        assert caught.value.facts["max_pixels"] == most * 5000


def test_exactly_the_most_pixels_are_taken() -> None:
    assert inspect_photo(PHOTOS["png"], max_pixels=160 * 120).width == 160
    with pytest.raises(TooManyPixels):
        inspect_photo(PHOTOS["png"], max_pixels=160 * 120 - 1)


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(sorted(PHOTOS)), share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_noticed(name: str, share: float) -> None:
    whole = PHOTOS[name]
    # The picture ends before the file does: a PNG's last chunk and a JPEG's end mark are words only.
    spare = {"png": 12 + 4 + 4 + 16, "jpeg": 2 + 4, "progressive": 2}.get(name, 1)
    cut = min(int(share * len(whole)), len(whole) - spare - 1)
    with pytest.raises(PhotoError) as caught:
        check_photo(whole[:cut])
    if cut >= 12:
        assert isinstance(caught.value, TruncatedPhoto)


@pytest.mark.parametrize("name", sorted(PHOTOS))
@pytest.mark.parametrize("tail", [b"\0" * 4096, b"appended by a phone", b"\n"])
def test_what_phones_append_does_no_harm(name: str, tail: bytes) -> None:
    assert inspect_photo(PHOTOS[name] + tail).width == 160


def test_a_thumbnails_end_is_not_the_photos_end() -> None:
    thumbnail = encode(scene(32, 24), "JPEG")
    exif = b"Exif\0\0" + thumbnail
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    photo = PHOTOS["jpeg"][:2] + segment + PHOTOS["jpeg"][2:]
    assert inspect_photo(photo).width == 160
    with pytest.raises(TruncatedPhoto):
        check_photo(photo[:-40])


def test_a_jpeg_with_a_second_picture_behind_it_is_a_jpeg() -> None:
    first = scene(160, 120)
    data = encode(first, "MPO", save_all=True, append_images=[scene(40, 30)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert inspect_photo(data) == PhotoInfo("image/jpeg", 160, 120, "jpg")


JPEG, PROGRESSIVE = PHOTOS["jpeg"], PHOTOS["progressive"]
SECOND_SCAN = PROGRESSIVE.index(b"\xff\xda", PROGRESSIVE.index(b"\xff\xda") + 2)
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "what", [b"\xff\x00", b"\xff\xff", b"\xff\xd3", b"\xff\x01", b"\x07\x07"], ids=bytes.hex
)
def test_a_megabyte_that_decoders_skip_is_skipped_in_one_step(what: bytes) -> None:
    with bounded(steps=5000, megabytes=8):
        assert inspect_photo(JPEG[:2] + what * (MEGABYTE // 2) + JPEG[2:]).width == 160


@pytest.mark.parametrize("marker", [0xE0, 0xDB, 0xFE])
def test_a_jpeg_has_so_many_segments_and_no_more(marker: int) -> None:
    empty = segment(marker, b"")
    assert inspect_photo(JPEG[:2] + segment(0xE1, bytes(60_000)) * 400 + JPEG[2:]).width == 160
    for before, behind in [(JPEG[:2], JPEG[2:]), (PROGRESSIVE[:SECOND_SCAN], PROGRESSIVE[SECOND_SCAN:])]:
        with bounded(steps=60 * MAX_SEGMENTS, megabytes=16), pytest.raises(DamagedPhoto):
            inspect_photo(before + empty * (MEGABYTE // 4) + behind)


def test_what_a_comment_holds_is_no_scan() -> None:
    cut = PROGRESSIVE[:SECOND_SCAN] + segment(0xFE, b"\xff\xda" * 32_000) * 15 + PROGRESSIVE[SECOND_SCAN:-2]
    with bounded(steps=100_000, megabytes=16):
        assert check_photo(cut).width == 160


def test_a_webp_of_empty_chunks_costs_what_it_weighs() -> None:
    body = b"WEBP" + b"ALPH\0\0\0\0" * 16_000
    with bounded(steps=16_000 * 12, megabytes=4), pytest.raises(DamagedPhoto):
        inspect_photo(b"RIFF\4\0\0\0" + body)
    picture = PHOTOS["webp"][12:]
    assert inspect_photo(b"RIFF\4\0\0\0WEBP" + picture).width == 160


def test_comments_that_are_no_drawing_are_not_divided_in_every_way() -> None:
    program = (
        "from laundry_reading.photo import NotAnImage, inspect_photo\n"
        "try: inspect_photo(b'<!---->' * 500)\n"
        "except NotAnImage: print('no')"
    )
    # In a process of its own: a regular expression that does not end cannot be stopped.
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout == "no\n"
    with pytest.raises(PhotoError, match="SVG"):
        inspect_photo(b"<?xml version='1.0'?> <!-- a --> <!-- b --><svg>")


def test_only_a_jpeg_is_looked_into_where_nothing_may_stand_still() -> None:
    photos = {**PHOTOS, "heic": heic(scene(160, 120))}
    for name in ("png", "webp", "lossless", "heic"):
        with bounded(steps=100, megabytes=1):
            assert inspect_at_once(photos[name]) is None
    assert inspect_at_once(PHOTOS["jpeg"]) == inspect_photo(PHOTOS["jpeg"])
    assert inspect_at_once(PHOTOS["progressive"]) == inspect_photo(PHOTOS["progressive"])
    with pytest.raises(EmptyPhoto):
        inspect_at_once(b"")
    with pytest.raises(TooManyBytes):
        inspect_at_once(PHOTOS["png"], max_bytes=len(PHOTOS["png"]) - 1)
    with pytest.raises(PhotoError, match="PDF"):
        inspect_at_once(b"%PDF-1.7")


@settings(deadline=None, max_examples=300)
@given(
    data=st.binary(max_size=400),
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBP"]),
)
def test_any_bytes_give_a_photo_or_a_photo_error(data: bytes, head: bytes) -> None:
    try:
        inspect_photo(head + data)
    except PhotoError as error:
        assert error.code
        assert str(error)
