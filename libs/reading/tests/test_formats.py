"""Files of other kinds are named, with what to do instead."""

from __future__ import annotations

import pytest

from laundry_reading.photo import (
    NotAnImage,
    UnsupportedEncoding,
    UnsupportedFormat,
    check_photo,
)

from .pictures import box, encode, scene, segment

PICTURE = scene(20, 20)


def ftyp(brand: bytes, *others: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"".join(others)) + box(b"mdat", bytes(100))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode(PICTURE, "GIF"), "GIF"),
        (encode(PICTURE, "BMP"), "BMP"),
        (encode(PICTURE, "TIFF"), "TIFF"),
        (encode(PICTURE, "ICO"), "icon"),
        (encode(PICTURE, "PDF"), "PDF"),
        (encode(PICTURE, "JPEG2000"), "JPEG 2000"),
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + ftyp(b"jxl "), "JPEG XL"),
        (ftyp(b"jxl "), "JPEG XL"),
        (b"8BPS\0\x01" + bytes(50), "Photoshop"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(50), "camera raw"),
        (b"MM\0*\0\0\0\x08" + bytes(20) + b"NIKON CORPORATION\0", "camera raw"),
        (b"FUJIFILMCCD-RAW " + bytes(50), "camera raw"),
        (ftyp(b"crx ", b"isom"), "camera raw"),
        (ftyp(b"isom", b"mp41"), "video"),
        (ftyp(b"mp42"), "video"),
        (ftyp(b"qt  "), "video"),
        (ftyp(b"3gp4"), "video"),
        (b"RIFF\x10\0\0\0AVI LIST", "video"),
        (b"\x1a\x45\xdf\xa3" + bytes(50), "video"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg />", "SVG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_known_kind_is_named_with_a_way_out(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        check_photo(data)
    assert caught.value.facts == {"format": name}
    assert name in str(caught.value)
    assert any(word in str(caught.value) for word in ("Save it", "Send", "Take", "Set"))


def test_a_sequence_of_pictures_is_named() -> None:
    data = box(b"ftyp", b"hevc" + bytes(4) + b"msf1hevc") + box(b"moov", bytes(50)) + box(b"mdat", bytes(50))
    with pytest.raises(UnsupportedFormat, match="sequence"):
        check_photo(data)


@pytest.mark.parametrize(
    "data", [b"hello", b"\0" * 5000, b"RIFF\x10\0\0\0WAVEfmt ", b"<html><svg></html>", b"PK\3\4"]
)
def test_what_nobody_knows_is_no_photo(data: bytes) -> None:
    with pytest.raises(NotAnImage, match="HEIC"):
        check_photo(data)


@pytest.mark.parametrize(
    ("marker", "depth", "encoding"),
    [
        (0xC3, 8, "lossless"),
        (0xC1, 12, "12-bit"),
        (0xC9, 8, "arithmetic"),
        (0xCA, 8, "arithmetic"),
        (0xC5, 8, "hierarchical"),
        (0xDE, 8, "hierarchical"),
        (0xCB, 8, "lossless"),
    ],
)
def test_a_jpeg_that_no_browser_shows_is_named(marker: int, depth: int, encoding: str) -> None:
    whole = encode(PICTURE, "JPEG")
    at = whole.index(b"\xff\xc0")
    strange = whole[:at] + bytes([0xFF, marker]) + whole[at + 2 : at + 4] + bytes([depth]) + whole[at + 5 :]
    with pytest.raises(UnsupportedEncoding, match="ordinary JPEG") as caught:
        check_photo(strange)
    assert caught.value.facts == {"encoding": encoding}


def test_a_sample_of_a_comment_is_no_frame() -> None:
    whole = encode(PICTURE, "JPEG")
    assert check_photo(whole[:2] + segment(0xFE, b"\xff\xc3\0\x0b") + whole[2:]).width == 20
