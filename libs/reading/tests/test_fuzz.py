"""However a photo is changed: it is refused with a reason, or it is read and has its pictures.

LAUNDRY_FUZZ multiplies the number of examples: `LAUNDRY_FUZZ=50 pytest libs/reading/tests/test_fuzz.py`.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laundry_reading.photo import PhotoError, check_photo
from laundry_reading.pictures import make_pictures
from laundry_reading.preprocess import decode_for_model

from .pictures import chunk, deep_heic, encode, heic, scene, segment
from .work import TIMES

LONGEST_S = 20
PICTURE = scene(96, 64)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
_JPEG = encode(PICTURE, "JPEG", restart_marker_blocks=4)
_PNG = encode(PICTURE, "PNG")
PHOTOS = {
    "baseline": _JPEG[:2] + segment(0xE1, EXIF) + _JPEG[2:],
    "progressive": encode(PICTURE, "JPEG", progressive=True),
    "cmyk": encode(PICTURE.convert("CMYK"), "JPEG", subsampling=0),
    "png": _PNG[:33] + chunk(b"eXIf", EXIF[6:]) + _PNG[33:],
    "palette": encode(PICTURE.quantize(), "PNG", transparency=3),
    "webp": encode(PICTURE, "WEBP"),
    "transparent webp": encode(PICTURE.convert("RGBA"), "WEBP", lossless=True),
    "animated webp": encode(PICTURE, "WEBP", save_all=True, append_images=[scene(96, 64).rotate(9)]),
    "heic": heic(PICTURE, orientation=6),
    "grid": heic(PICTURE, tile_size=64),
    "deep": deep_heic(PICTURE),
    "avif": heic(PICTURE.convert("RGBA"), kind="AVIF", orientation=5),
}
Change = tuple[str, float, float, bytes]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "insert", "delete", "repeat", "cut"]),
        # Headers are small and near the start: most changes fall there.
        st.floats(0, 1, exclude_max=True).map(lambda x: x**3) | st.floats(0, 1, exclude_max=True),
        st.floats(0, 0.2),
        st.binary(min_size=1, max_size=6)
        | st.sampled_from([b"\xff\xda", b"\xff\xd9", b"\0", b"\xff\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=6,
)


def changed(photo: bytes, changes: list[Change]) -> bytes:
    data = bytearray(photo)
    for how, where, much, what in changes:
        at, length = int(where * len(data)), int(much * len(data))
        if how == "set":
            data[at : at + len(what)] = what
        elif how == "insert":
            data[at:at] = what
        elif how == "delete":
            del data[at : at + 1 + length]
        elif how == "repeat":
            data[at:at] = data[at : at + length]
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", PHOTOS)
@settings(deadline=None, max_examples=80 * TIMES, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES)
def test_what_is_taken_is_read(name: str, changes: list[Change]) -> None:
    data = changed(PHOTOS[name], changes)
    began = time.monotonic()
    try:
        info = check_photo(data)
    except PhotoError as error:
        assert error.code
        assert str(error)
    else:
        assert decode_for_model(data, 64).shape == (64, 64, 3)
        made = make_pictures(data)
        assert max(made.thumbnail.width, made.thumbnail.height) <= 320
        assert info.width * info.height > 0
    assert time.monotonic() - began < LONGEST_S


@settings(deadline=None, max_examples=200 * TIMES)
@given(
    data=st.binary(max_size=400),
    head=st.sampled_from(
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            b"RIFF\0\1\0\0WEBP",
            b"RIFF\0\1\0\0WEBPVP8 ",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            b"\0\0\0\x10ftypavif\0\0\0\0\0\0\1\0meta\0\0\0\0",
            b"",
        ]
    ),
)
def test_any_bytes_are_refused_with_a_reason_or_read(data: bytes, head: bytes) -> None:
    try:
        check_photo(head + data)
    except PhotoError as error:
        assert error.code
        assert str(error)
    else:
        assert decode_for_model(head + data, 64).shape == (64, 64, 3)
