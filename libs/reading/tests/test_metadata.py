"""What no picture needs sinks none, however broken it is, and wherever it lies."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from laundry_reading.photo import TruncatedPhoto, check_photo
from laundry_reading.preprocess import decode_for_model

from .pictures import chunk, encode, heic, scene, segment

SIZE = 96
PICTURE = scene(300, 200)
JPEG = encode(PICTURE, "JPEG", quality=92)
PROGRESSIVE = encode(PICTURE, "JPEG", quality=92, progressive=True)
PNG = encode(PICTURE, "PNG")
WEBP = encode(PICTURE, "WEBP", quality=90)

BROKEN_EXIF = {
    "cut": b"Exif\0\0MM\0*\0\0\0\x08\0\x20",
    "far": b"Exif\0\0MM\0*\xff\xff\xff\xf0" + bytes(8),
    "no order": b"Exif\0\0XX\0*\0\0\0\x08",
    "text for a number": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x1a\0\x02\0\0\0\0\0\0\0\x1a\0\0\0\0",
    "an endless list": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x07\0\0\0\0\0\0\0\0\0" * 3,
    "empty": b"Exif\0\0",
}
SEGMENTS = {
    **{f"exif {name}": segment(0xE1, body) for name, body in BROKEN_EXIF.items()},
    "a short adobe": segment(0xEE, b"Adobe\0d"),
    "an empty adobe": segment(0xEE, b"Adobe"),
    "a short jfif": segment(0xE0, b"JFIF\0"),
    "xmp": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta <<<"),
    "mpf": segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "icc": segment(0xE2, b"ICC_PROFILE\0\x01\x09broken"),
    "c2pa": segment(0xEB, b"JP\0\x01\0\0\0\x01\0\0\xff\xffjumb"),
    "photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff"),
    "a comment": segment(0xFE, b"\xff\xd9 \xff\xda"),
    "one stray byte": b"\x07",
    "stray bytes": bytes(range(1, 255)) * 90,
    "fill bytes": b"\xff" * 7,
    "an escaped byte": b"\xff\x00",
    "a lone restart": b"\xff\xd3",
    "a reserved word": b"\xff\x01",
}


def same(data: bytes, plain: bytes) -> None:
    assert check_photo(data).width == 300
    assert np.array_equal(decode_for_model(data, SIZE), decode_for_model(plain, SIZE))


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("before", [b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda", None])
def test_a_jpeg_is_read_whatever_stands_between_its_segments(name: str, before: bytes | None) -> None:
    at = 2 if before is None else JPEG.index(before)
    same(JPEG[:at] + SEGMENTS[name] + JPEG[at:], JPEG)


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_progressive_jpeg_is_read_whatever_stands_between_its_scans(name: str) -> None:
    at = PROGRESSIVE.index(b"\xff\xc4", PROGRESSIVE.index(b"\xff\xda"))
    between = SEGMENTS[name]
    if between[:1] != b"\xff" or between[1] in (0x00, 0xD3):
        pytest.skip("inside a scan this is picture")
    same(PROGRESSIVE[:at] + between + PROGRESSIVE[at:], PROGRESSIVE)


@pytest.mark.parametrize(
    "tail",
    [
        b"\0\0\0\x18ftypmp42" + bytes(5000) + b"\xff\xd9\xff\xda",
        b"MotionPhoto_Data" + bytes(200) + b"SEFH\x6b\0\0\0SEFT",
        JPEG,
        b"\xff",
    ],
    ids=["a clip", "Samsung's trailer", "a second picture", "a byte"],
)
@pytest.mark.parametrize("photo", [JPEG, PROGRESSIVE, PNG, WEBP], ids=["jpeg", "progressive", "png", "webp"])
def test_what_phones_append_is_not_looked_at(photo: bytes, tail: bytes) -> None:
    same(photo + tail, photo)


@pytest.mark.parametrize("photo", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_whole_scan_needs_no_end_mark_and_half_a_scan_is_cut_off(photo: bytes) -> None:
    same(photo[:-2], photo)
    same(photo[:-1], photo)
    for cut in (12, 40, 400, len(photo) // 2):
        with pytest.raises(TruncatedPhoto, match="cut off"):
            check_photo(photo[:-cut])


def test_a_clip_behind_half_a_scan_does_not_make_it_whole() -> None:
    with pytest.raises(TruncatedPhoto):
        check_photo(JPEG[:-400])
    app = segment(0xE1, b"Exif\0\0" + encode(scene(32, 24), "JPEG"))
    with pytest.raises(TruncatedPhoto):
        check_photo(JPEG[:2] + app + JPEG[2:-400])


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"restart_marker_blocks": 3},
        {"restart_marker_rows": 1},
        {"progressive": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_every_usual_kind_is_read(mode: str, options: dict[str, object]) -> None:
    photo = encode(PICTURE.convert(mode), "JPEG", quality=92, **options)
    assert check_photo(photo).width == 300
    expected = decode_for_model(encode(PICTURE.convert(mode).convert("RGB"), "PNG"), SIZE)
    assert np.abs(decode_for_model(photo, SIZE).astype(int) - expected).mean() < 4


def test_a_jpeg_whose_later_scans_are_broken_is_shown_as_far_as_it_goes() -> None:
    second = PROGRESSIVE.index(b"\xff\xda", PROGRESSIVE.index(b"\xff\xda") + 2)
    spectral = second + 5 + 2 * PROGRESSIVE[second + 4]
    broken = PROGRESSIVE[:spectral] + b"\x70\x02\xff" + PROGRESSIVE[spectral + 3 :]
    assert check_photo(broken).width == 300
    seen = decode_for_model(broken, SIZE).astype(int)
    assert np.abs(seen - decode_for_model(PROGRESSIVE, SIZE)).mean() < 12


CHUNKS = {
    "a long zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
    "a long iTXt": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
    "a wrong checksum": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>", crc=7),
    "a long iCCP": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000))),
    "a broken iCCP": chunk(b"iCCP", b"icc\0\0nothing"),
    "a broken eXIf": chunk(b"eXIf", b"MM\0*\xff"),
    "a broken zTXt": chunk(b"zTXt", b"Comment\0\0nothing"),
    "an odd pHYs": chunk(b"pHYs", b""),
    "an odd gAMA": chunk(b"gAMA", b"\0"),
    "an odd cHRM": chunk(b"cHRM", b"\0"),
    "an odd sRGB": chunk(b"sRGB", b""),
    "an odd acTL": chunk(b"acTL", b"\0"),
    "an unknown one": chunk(b"vpAg", b"\1" * 9),
    "C2PA": chunk(b"caBX", b"\0\0\xff\xffjumb"),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
def test_a_png_is_read_whatever_chunks_it_has(name: str, where: bytes) -> None:
    at = PNG.index(where) - 4
    same(PNG[:at] + CHUNKS[name] + PNG[at:], PNG)


def test_a_png_is_whole_with_its_pixels() -> None:
    same(PNG[:-12], PNG)
    same(PNG[:-16], PNG)
    with pytest.raises(TruncatedPhoto):
        check_photo(PNG[: len(PNG) // 2])


def test_a_webp_is_read_whatever_its_metadata() -> None:
    canvas = struct.pack("<I", 300 - 1)[:3] + struct.pack("<I", 200 - 1)[:3]

    def part(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    picture = WEBP[12:]
    for extra in (
        part(b"EXIF", b"MM\0*\xff"),
        part(b"XMP ", b"<"),
        part(b"ICCP", b"none"),
        part(b"????", b"x"),
    ):
        for body in (
            part(b"VP8X", b"\x2c\0\0\0" + canvas) + extra + picture,
            part(b"VP8X", b"\x2c\0\0\0" + canvas) + picture + extra,
        ):
            same(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body, WEBP)
    with pytest.raises(TruncatedPhoto):
        check_photo(WEBP[:-40])


def test_the_orientation_counts_wherever_it_stands() -> None:
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    expected = decode_for_model(encode(PICTURE.transpose(Image.Transpose.ROTATE_270), "PNG"), SIZE).astype(
        int
    )
    pixels, tables = PNG.index(b"IDAT") - 4, JPEG.index(b"\xff\xdb")
    exif = segment(0xE1, b"Exif\0\0" + tiff)
    for photo in (
        PNG[:pixels] + chunk(b"eXIf", tiff) + PNG[pixels:],
        PNG[:-12] + chunk(b"eXIf", tiff) + PNG[-12:],
        JPEG[:tables] + b"\x99\x01" + exif + JPEG[tables:],
        JPEG[:tables] + exif + segment(0xE1, b"Exif\0\0") + JPEG[tables:],
    ):
        assert np.abs(decode_for_model(photo, SIZE) - expected).mean() < 3


def test_a_heic_is_read_whatever_its_metadata() -> None:
    plain = heic(PICTURE)
    noted = heic(PICTURE, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", xmp=b"<<<")
    same(noted, plain)
