"""Detects a file's format by its first bytes, with advice where it is not accepted."""

from __future__ import annotations

import re

from laundry_reading.errors import NotAnImage, PhotoError, UnsupportedFormat

TAKEN = "JPEG, PNG, WebP, HEIC or AVIF"

_AS_JPEG = "Save it as a JPEG and send that."
_CAMERA = "Set the camera to JPEG or HEIC, or export the photo as a JPEG."

_HEADS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\x0a", "JPEG XL", _AS_JPEG),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", _AS_JPEG),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", _AS_JPEG),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _AS_JPEG),
    (b"GIF8", "GIF", "Send one picture of it as JPEG or PNG."),
    (b"BM", "BMP", _AS_JPEG),
    (b"FUJIFILMCCD-RAW", "camera raw", _CAMERA),
    (b"FOVb", "camera raw", _CAMERA),
    (b"IIRO", "camera raw", _CAMERA),
    (b"IIRS", "camera raw", _CAMERA),
    (b"IIU\0", "camera raw", _CAMERA),
    (b"\0MRM", "camera raw", _CAMERA),
    (b"II\x1a\0\0\0HEAPCCDR", "camera raw", _CAMERA),
    (b"II*\0", "TIFF", _AS_JPEG),
    (b"MM\0*", "TIFF", _AS_JPEG),
    (b"II+\0", "TIFF", _AS_JPEG),
    (b"MM\0+", "TIFF", _AS_JPEG),
    (b"II\xbc\x01", "JPEG XR", _AS_JPEG),
    (b"8BPS", "Photoshop", _AS_JPEG),
    (b"\0\0\1\0", "icon", _AS_JPEG),
    (b"%PDF-", "PDF", "Send a photo, not a document."),
    (b"\x1a\x45\xdf\xa3", "video", "Take a photo of the laundry and send that."),
    (b"OggS", "video", "Take a photo of the laundry and send that."),
    (b"FLV\1", "video", "Take a photo of the laundry and send that."),
    (b"\0\0\1\xba", "video", "Take a photo of the laundry and send that."),
    (b"\0\0\1\xb3", "video", "Take a photo of the laundry and send that."),
)
_RAW_MAKERS = (
    b"CR\x02\0",
    b"NIKON",
    b"SONY",
    b"PENTAX",
    b"SAMSUNG",
    b"Panasonic",
    b"OLYMPUS",
    b"\x12\xc6\x01",
)
_VIDEO = "Take a photo of the laundry and send that."
_HEIF = frozenset(
    {
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"hevm",
        b"hevs",
        b"mif1",
        b"mif2",
        b"mif3",
        b"msf1",
    }
    | {b"avif", b"avis", b"miaf", b"MiHE", b"MiHB", b"MA1B", b"MA1A"}
)
# A comment ends with its first "-->" and no later one, or all ways to divide many of them would be tried.
_SVG = re.compile(
    rb"^\s*(?:<\?xml[^>]*\?>\s*)?(?:(?><!--.*?-->)\s*)*(?:<!DOCTYPE\s+svg[^>]*>\s*)?<svg[\s>]", re.S | re.I
)


def format_of(data: bytes) -> str:
    """Return `JPEG`, `PNG`, `WEBP` or `HEIF`, by the bytes alone.

    Raises:
        UnsupportedFormat: a known kind that is not taken, with what to do instead.
        NotAnImage: nothing that is known.
    """
    head = data[:64]
    if head.startswith(b"\xff\xd8"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _of_container(data)
    raise _unknown(data)


def _of_container(data: bytes) -> str:
    size = int.from_bytes(data[:4], "big")
    box = data[8 : max(16, min(size, 256))]
    brands = {box[:4], *(box[place : place + 4] for place in range(8, len(box), 4))}
    if box[:4] == b"crx ":
        raise _unsupported("camera raw", _CAMERA)
    if box[:4] in (b"jxl ", b"jp2 "):
        raise _unsupported("JPEG XL" if box[:4] == b"jxl " else "JPEG 2000", _AS_JPEG)
    if brands & _HEIF:
        return "HEIF"
    raise _unsupported("video", _VIDEO)


def _unknown(data: bytes) -> PhotoError:
    head = data[:4096]
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return _unsupported("video", _VIDEO)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _unsupported("video", _VIDEO)
    if head[:4] in (b"II*\0", b"MM\0*", b"IIU\0") and any(maker in head for maker in _RAW_MAKERS):
        return _unsupported("camera raw", _CAMERA)
    for start, name, way_out in _HEADS:
        if head.startswith(start):
            return _unsupported(name, way_out)
    if _SVG.match(head.removeprefix(b"\xef\xbb\xbf")):
        return _unsupported("SVG", "Send a photo, not a drawing.")
    return NotAnImage(f"The file is not an image that is known here. Send a photo as {TAKEN}.")


def _unsupported(name: str, way_out: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"The file is {name}, which is not taken. {way_out}", format=name)
