"""Which files are taken as photos, and what is said about the others."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laundry_reading import webp
from laundry_reading.photo import (
    EmptyPhoto,
    PhotoError,
    PhotoInfo,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    check_photo,
    inspect_photo,
)

from .pictures import encode, png_that_claims, scene

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
