"""Which files are taken as photos, and what is said about the others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, png_that_claims, scene
from PIL import Image

from laundry_reading.photo import (
    EmptyPhoto,
    MislabelledPhoto,
    NotAnImage,
    PhotoError,
    PhotoInfo,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    UnsupportedFormat,
    inspect_photo,
)

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
    assert inspect_photo(PHOTOS[name], declared_media_type=media_type) == PhotoInfo(
        media_type, 160, 120, extension
    )


@pytest.mark.parametrize("declared", [None, "", "application/octet-stream", "image/jpg", "IMAGE/JPEG; q=1"])
def test_undeclared_and_synonymous_types_are_taken(declared: str | None) -> None:
    assert inspect_photo(PHOTOS["jpeg"], declared_media_type=declared).media_type == "image/jpeg"


@pytest.mark.parametrize("declared", ["image/png", "image/webp", "text/plain", "application/pdf"])
def test_a_wrong_declaration_is_refused(declared: str) -> None:
    with pytest.raises(MislabelledPhoto) as caught:
        inspect_photo(PHOTOS["jpeg"], declared_media_type=declared)
    assert caught.value.code == "mislabelled"
    assert declared in str(caught.value)


def test_no_bytes_are_no_photo() -> None:
    with pytest.raises(EmptyPhoto):
        inspect_photo(b"")


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7 ...", b"\0" * 5000, b"RIFF\x10\0\0\0WAVEfmt "])
def test_other_files_are_no_images(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        inspect_photo(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_images_are_named_as_unsupported(kind: str) -> None:
    with pytest.raises(UnsupportedFormat):
        inspect_photo(encode(scene(20, 20), kind))


@pytest.mark.parametrize(
    "brand",
    [
        *("heic", "heix", "heim", "heis"),
        *("hevc", "hevx", "hevm", "hevs"),
        *("mif1", "mif2", "msf1"),
        *("avif", "avis"),
    ],
)
def test_a_phones_heic_or_avif_is_named_as_unsupported(brand: str) -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        inspect_photo(b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0mif1miaf" + bytes(100))
    assert caught.value.code == "unsupported_format"


@pytest.mark.parametrize("brand", ["isom", "mp42", "qt  ", "M4A "])
def test_a_film_is_no_image(brand: str) -> None:
    with pytest.raises(NotAnImage):
        inspect_photo(b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0isommp41" + bytes(100))


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    with pytest.raises(TooManyBytes):
        inspect_photo(PHOTOS["jpeg"] + bytes(100), max_bytes=len(PHOTOS["jpeg"]) + 99)


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_001), (60_000, 60_000), (2_000_000_000, 2)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(TooManyPixels):
        inspect_photo(png_that_claims(width, height))


def test_a_webp_has_a_lower_limit() -> None:
    data = bytearray(encode(scene(16, 16), "WEBP", lossless=True))
    # VP8L keeps width - 1 and height - 1 in 14 bits each behind its signature byte.
    assert data[20] == 0x2F
    size = int.from_bytes(data[21:25], "little") >> 28 << 28 | (6000 - 1) << 14 | (6000 - 1)
    data[21:25] = size.to_bytes(4, "little")
    with pytest.raises(TooManyPixels):
        inspect_photo(bytes(data))


def test_exactly_the_most_pixels_are_taken() -> None:
    assert inspect_photo(PHOTOS["png"], max_pixels=160 * 120).width == 160
    with pytest.raises(TooManyPixels):
        inspect_photo(PHOTOS["png"], max_pixels=160 * 120 - 1)


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(sorted(PHOTOS)), share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_noticed(name: str, share: float) -> None:
    whole = PHOTOS[name]
    # The last bytes of a PNG are a checksum that nobody needs; everything before counts.
    cut = min(int(share * len(whole)), len(whole) - (5 if name == "png" else 1))
    with pytest.raises(PhotoError) as caught:
        inspect_photo(whole[:cut])
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
        inspect_photo(photo[:-40])


def test_a_jpeg_with_a_second_picture_behind_it_is_a_jpeg() -> None:
    first = scene(160, 120)
    data = encode(first, "MPO", save_all=True, append_images=[scene(40, 30)])
    assert Image.open(__import__("io").BytesIO(data)).format == "MPO"
    assert inspect_photo(data, declared_media_type="image/jpeg") == PhotoInfo("image/jpeg", 160, 120, "jpg")


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
