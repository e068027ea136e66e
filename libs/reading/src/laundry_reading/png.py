"""PNG: its header, palette and pixels. Checksums are recomputed; only decoding shows whether the pixels are
sound."""

from __future__ import annotations

import struct
import zlib

from laundry_reading.errors import TooManyPixels, cut_off, damaged
from laundry_reading.exif import UPRIGHT, orientation_of
from laundry_reading.lean import Lean, check_pixels

MAX_INTERLACED_PIXELS = 45_000_000
"""An interlaced picture is there only with its last pass, so it is held whole."""

MAX_WIDTH, MAX_RICH_WIDTH, MAX_DEEP_RICH_WIDTH = 30_000, 16_384, 12_000
"""What decodes row by row holds some hundred rows at a time. Those with transparency or sixteen bits a
channel weigh more, and those with both most.
"""

MAX_PROFILE_BYTES = 4_000_000

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRANSPARENT = (4, 6)
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def read_png(data: bytes) -> Lean:
    """Find the picture in a PNG; of an animated one the picture that all see who do not know of animations.

    Raises:
        PhotoError: cut off or damaged, or interlaced and too large for that.
    """
    header, kept, pixels = b"", [], []
    orientation, profile = UPRIGHT, b""
    position, ended = len(SIGNATURE), False
    while not ended and position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        position += 12 + length
        if not header and kind != b"IHDR":
            raise damaged()
        if kind == b"IHDR":
            header = header or body
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind in (b"PLTE", b"tRNS") and not pixels:
            kept.append(chunk(kind, body))
        elif kind == b"eXIf":
            orientation = orientation_of(body)
        elif kind == b"iCCP":
            profile = body
        ended = kind == b"IEND"
    if len(header) < 13 or not pixels:
        raise cut_off()
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header[:13])
    if 0 in (width, height):
        raise damaged()
    check_pixels("PNG", width, height)
    if depth not in _DEPTHS.get(colour, ()) or interlaced > 1:
        raise damaged()
    if interlaced:
        check_pixels("interlaced PNG", width, height, MAX_INTERLACED_PIXELS)
    _check_width(width, height, depth == 16, colour in _TRANSPARENT or any(c[4:8] == b"tRNS" for c in kept))
    lean = [SIGNATURE, chunk(b"IHDR", header[:13]), *kept, chunk(b"IDAT", b"".join(pixels))]
    return Lean(
        "PNG",
        width,
        height,
        b"".join([*lean, chunk(b"IEND", b"")]),
        orientation,
        by_rows=not interlaced,
        ends=ended,
        profile=lambda: _unpacked(profile),
    )


def _check_width(width: int, height: int, deep: bool, transparent: bool) -> None:
    most = (MAX_WIDTH, MAX_RICH_WIDTH, MAX_DEEP_RICH_WIDTH)[deep + transparent]
    if width > most:
        raise TooManyPixels(
            f"The photo is a PNG of {width} x {height} pixels; of its kind at most {most:,} a row are read "
            "in bounded memory. Save it as a JPEG or make it smaller.",
            width=width,
            height=height,
            max_pixels=most * height,
        )


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _unpacked(profile: bytes) -> bytes | None:
    _name, _, rest = profile.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(rest[1:], MAX_PROFILE_BYTES) or None
    except zlib.error:
        return None
